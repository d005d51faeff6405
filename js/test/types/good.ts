// What must compile.
import { connect, escape, HotlineError, type Client, type Message } from "@gohotline/hotline";
import { useConnection, useLatest, useTopic } from "@gohotline/hotline/react";

interface Price { cents: number }
interface Op { stroke: string; points?: [number, number][]; undo?: boolean }
interface Topics {
  [room: `chat.${string}`]: string;
  [sym: `prices.${string}`]: Price;
  [here: `here.${string}.${string}`]: { since: number };
  [ops: `board.${string}.ops`]: Op;
  input: Uint8Array;
}
const hub = connect<Topics>("/ws", { token: () => sessionStorage.getItem("token") });

for await (const m of hub.subscribe("prices.*")) m.data.cents.toFixed(2);
const id: string = await hub.publish("chat.lobby", "hello", { key: "k", signal: AbortSignal.timeout(1000) });
await hub.publish(`chat.${escape("a.b")}`, "hello");
hub.latest("here.lobby.*").addEventListener("change", e => e.message.data?.since);
const sent: boolean = hub.signal("input", new Uint8Array([1]));
await hub.publish(`here.lobby.${escape("ada")}`, null);

const any = connect(new URL("wss://example.com/ws"), { WebSocket, token: async () => null });
for await (const m of any.subscribe("x.y", { replay: 50, after: id, resync: async () => "1.a" })) console.log(m.data.whatever);
const map: Map<string, Message<any>> = new Map(any.latest("prices.*"));
any.subscribe("x", { resync() {}, signal: new AbortController().signal });

const sub = hub.subscribe("board.1.ops", { resync: async () => (await fetch("/board/1")).text() });
const position: string = sub.position;
sub.addEventListener("message", e => e.message.data.points?.[0]?.[1]?.toFixed());
sub.addEventListener("gap", e => e.missed + e.cause.length);
sub.addEventListener("error", e => e.error.closeCode);
sub.addEventListener("whatever", { handleEvent() {} }, { once: true });
sub.ready.then(() => sub.topic).catch((e: HotlineError) => e.code === "denied");
hub.addEventListener("state", () => hub.state === "closed" && hub.error?.closeCode);
hub.addEventListener("message", e => e.message.data as string);
sub.close();
hub.close();

export function Prices({ client }: { client: Client<Topics> }) {
  const lines = useTopic(client, "chat.lobby", { replay: 10, limit: 20 }).map(m => m.data.toUpperCase());
  const cents = [...useLatest(client, "prices.*").values()].reduce((sum, m) => sum + m.data.cents, 0);
  return `${useConnection(client).state} ${useConnection(any).error?.code} ${lines.join()} ${cents} ${sent} ${map.size} ${position}`;
}
