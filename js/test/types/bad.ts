// What must not compile: each line below a "@ts-expect-error" is an error, or tsc says that it is not.
import { connect, HotlineError, type Client } from "@gohotline/hotline";
import { useTopic } from "@gohotline/hotline/react";

interface Topics {
  [room: `chat.${string}`]: string;
  [sym: `prices.${string}`]: { cents: number };
}
declare const hub: Client<Topics>;

// @ts-expect-error a number is no chat line
await hub.publish("chat.lobby", 42);
// @ts-expect-error no such topic
hub.subscribe("nonsense");
// @ts-expect-error no such topic
hub.latest(`here.${"x"}`);
// @ts-expect-error wrong payload
hub.publish("prices.AAPL", { euros: 1 });
// @ts-expect-error a signal has a payload
hub.signal("chat.lobby", null);
// @ts-expect-error of the wrong type
for await (const m of hub.subscribe("prices.*")) m.data.toUpperCase();
// @ts-expect-error messages are not written
for await (const m of hub.subscribe("prices.*")) m.topic = "x";
// @ts-expect-error a live Map is not written
hub.latest("prices.*").set("x", 1);
// @ts-expect-error the value may be gone
hub.latest("prices.*").addEventListener("change", e => e.message.data.cents);
// @ts-expect-error a position is text
hub.subscribe("chat.lobby", { after: 1 });
// @ts-expect-error a token is text
connect("/ws", { token: () => 7 });
// @ts-expect-error there is no such option
hub.subscribe("chat.lobby", { reply: 50 });
// @ts-expect-error there is no such code
new HotlineError("unknown", "x");
// @ts-expect-error state is not written
hub.state = "open";
// @ts-expect-error no such topic
useTopic(hub, "nonsense");
