import type { Client, HotlineError, Message, SubscribeOptions } from "./hotline.js";

type Key<T> = keyof T & string;

/**
 * The last `limit` messages (default 100) of a topic, oldest first. Components that ask for the same share a subscription.
 * A refusal is logged; where a page has to show it, subscribe.
 */
export function useTopic<T extends object, K extends Key<T>>(client: Client<T>, topic: K, options?: SubscribeOptions & { limit?: number }): readonly Message<T[K]>[];

/** The newest message of each topic that pattern matches; renders at most once a frame. */
export function useLatest<T extends object, K extends Key<T>>(client: Client<T>, pattern: K): ReadonlyMap<string, Message<T[K]>>;

export function useConnection(client: Client<any>): { state: "connecting" | "open" | "closed"; error: HotlineError | null };
