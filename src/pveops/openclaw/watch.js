// Wakes the agent when the monitor has news; OpenClaw runs it, without a model, as a trigger.
// `LOOK` stands before it: the words of `pve`, and what it needs in its environment.
//
// What was told is remembered by the number of the news, whoever looked. OpenClaw keeps the state
// only when the agent's turn went well, so news that were lost on the way are told by the next
// evaluation.

const MAX_EVENTS = 20;

async function pve(words) {
  const done = await exec({ command: `${LOOK.pve} ${words} ${LOOK.profile}`, env: LOOK.env });
  return { text: String(done?.aggregated ?? "").trim(), code: done?.exitCode ?? -1 };
}

const before = trigger.state ?? {};
const look = await pve(`monitor run --if-quiet ${LOOK.quiet}`);
const told = await pve(`monitor history --limit ${MAX_EVENTS} --json`);

let events, last;
try {
  ({ items: events, last } = JSON.parse(told.text).data);
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
  // Numbers that are smaller than before are of a store that was made anew.
  const known = (before.number ?? 0) > last ? 0 : (before.number ?? 0);
  const news = events.filter((event) => event.number > known);
  const lines = news.map((each) => `| ${each.kind} ${each.severity} ${each.subject}: ${each.message}`);
  const more = last - known - news.length;
  if (more > 0) lines.push(`| and ${more} more: pve monitor history`);
  json({
    fire: news.length > 0,
    message: `What the monitor found, as data:\n${lines.join("\n")}`,
    state: { number: last },
  });
}
