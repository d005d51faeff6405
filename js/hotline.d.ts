/**
 * Connects in the background and stays connected until close() or a final refusal. T types payloads by topic; a key may be
 * a topic, a pattern, or a template literal such as `chat.${string}`. Throws a HotlineError "invalid" for a malformed URL.
 */
export function connect<T extends object = Record<string, any>>(url: string | URL, options?: ConnectOptions): Client<T>;

/** Makes any string one segment of a topic, as Go's hotline.Escape does. */
export function escape(segment: string): string;

export interface ConnectOptions {
  /** Called for each attempt. Throw to be called again later; return null to give up: logged out. */
  token?: () => string | null | Promise<string | null>;
  /** The constructor, where there is no global one. */
  WebSocket?: typeof WebSocket;
}

type Key<T> = keyof T & string;

export interface Client<T extends object = Record<string, any>> extends Events<{
  /** state or error have changed */
  state: Event;
  /** of a topic that the server subscribed us to and no Subscription covers, or sent to this connection alone */
  message: TopicEvent<unknown>;
}> {
  readonly state: "connecting" | "open" | "closed";
  /** Why the connection is down, or is closed for good. */
  readonly error: HotlineError | null;
  /** Subscribes to a topic or pattern. What is received waits until somebody iterates or listens. */
  subscribe<K extends Key<T>>(topic: K, options?: SubscribeOptions): Subscription<T[K]>;
  /** The newest message of each topic that pattern matches: a live Map that drops a topic when its value is cleared. */
  latest<K extends Key<T>>(pattern: K, options?: SubscribeOptions): Latest<T[K]>;
  /**
   * Resolves with the id when the hub has stored the message, once; waits while offline. Uint8Array and ArrayBuffer travel as
   * bytes, all else as JSON. Rejects with a HotlineError, or the reason of the signal: "uncertain" says that it was sent and
   * may have been stored, when it was not answered for 4 minutes or before the signal, the client or, twice, the connection
   * ended; "limit", that 16 MiB are unanswered. A key makes two calls one message, within 5 minutes.
   */
  publish<K extends Key<T>>(topic: K, data: T[K] | null, options?: { key?: string; signal?: AbortSignal }): Promise<string>;
  /** Sends without acknowledgement; false if it could not be sent now. Throws for a topic or data that can't be. */
  signal<K extends Key<T>>(topic: K, data: T[K]): boolean;
  /** Closes it for good. Subscriptions end once what they have received is read. */
  close(): void;
}

export interface SubscribeOptions {
  /** Earlier messages of each topic to begin with, as far as the hub keeps them. */
  replay?: number;
  /** Goes on after the message with this id, or what position said. */
  after?: string;
  /**
   * Loads a snapshot at the start and after each gap, and returns its position; see Go's SubscribeOptions.Resync. One that
   * fails is tried again, unless with a HotlineError "denied".
   */
  resync?: () => string | void | Promise<string | void>;
  /** Ends the subscription. */
  signal?: AbortSignal;
}

export interface Message<D> {
  readonly topic: string;
  /** Its position; "" of State and signals. */
  readonly id: string;
  /** The user that published it; "" if it was the server or somebody anonymous. */
  readonly from: string;
  /** null: the value of a State topic is gone, which also a restart of the hub's process makes it, until it is published again. */
  readonly data: D;
  /** Messages lost just before this one, at least. */
  readonly missed: number;
  readonly replayed: boolean;
}

/**
 * Iterate it, or listen; both end when it is closed, which leaving the loop does. A loop that falls behind loses nothing:
 * reading goes on from its position. It throws when the subscription is refused, and just ends with the client.
 */
export interface Subscription<D> extends AsyncIterable<Message<D>>, Events<SubscriptionEvents & { message: TopicEvent<D> }> {
  readonly topic: string;
  /** Where reading stands; for the after of another subscription. */
  readonly position: string;
  /** Resolves when the hub has confirmed it, rejects when it is denied. */
  readonly ready: Promise<void>;
  close(): void;
}

export interface Latest<D> extends ReadonlyMap<string, Message<D>>, Events<SubscriptionEvents & { change: TopicEvent<D | null> }> {
  /** Resolves when all present values are in it, rejects when it is denied. */
  readonly ready: Promise<void>;
  close(): void;
}

interface SubscriptionEvents {
  /** Messages are lost here, so many, or 0: not known. */
  gap: Event & { readonly missed: number; readonly cause: string };
  /** It is refused, and over. */
  error: Event & { readonly error: HotlineError };
}

export interface TopicEvent<D> extends Event { readonly message: Message<D> }

export class HotlineError extends Error {
  constructor(code: HotlineError["code"], text: string, options?: { closeCode?: number; cause?: unknown });
  readonly code: "denied" | "invalid" | "limit" | "closed" | "uncertain";
  /** With which the connection was closed; 0: it is of something else. PROTOCOL.md lists them. */
  readonly closeCode: number;
}

interface Events<M> extends EventTarget {
  addEventListener<K extends keyof M & string>(type: K, f: (e: M[K]) => void, o?: AddEventListenerOptions | boolean): void;
  addEventListener(type: string, f: EventListenerOrEventListenerObject | null, o?: AddEventListenerOptions | boolean): void;
}
