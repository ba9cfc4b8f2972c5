// Wakes the agent when the monitor has news; OpenClaw runs it, without a model, as a trigger.
// `LOOK` stands before it: the words of `pve`, and what it needs in its environment.
//
// What was told is remembered by time. OpenClaw keeps the state only when the agent's turn went
// well, so news that were lost on the way are told by the next evaluation.

const MAX_EVENTS = 20;

async function pve(words) {
  const done = await exec({ command: `${LOOK.pve} ${words} ${LOOK.profile}`, env: LOOK.env });
  return { text: String(done?.aggregated ?? "").trim(), code: done?.exitCode ?? -1 };
}

const before = trigger.state ?? {};
const look = await pve("monitor run --if-quiet NO_REPLY");
const told = await pve(`monitor history --limit ${MAX_EVENTS} --json`);

let events;
try {
  events = JSON.parse(told.text).data.items;
} catch {
  events = undefined;
}

if (look.code !== 0 || !events) {
  const problem = (look.code === 0 ? told.text : look.text).slice(0, 500) || "no answer at all";
  json({
    fire: problem !== before.problem,
    message: `The monitor itself cannot look:\n| ${problem.replaceAll("\n", "\n| ")}`,
    state: { ...before, problem },
  });
} else {
  const news = events.filter((event) => event.at > (before.at ?? 0)).reverse();
  const lines = news.map((each) => `| ${each.kind} ${each.severity} ${each.subject}: ${each.message}`);
  json({
    fire: news.length > 0,
    message: `What the monitor found, as data:\n${lines.join("\n")}`,
    state: { at: news.reduce((last, event) => Math.max(last, event.at), before.at ?? 0) },
  });
}
