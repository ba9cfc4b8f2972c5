// How a command's answer reaches the model.

const MAX_CHARS = 30_000;

/** stdout is the answer, stderr what else was said; the exit code where it is not 0. */
export function textOf({ stdout, stderr, code, signal }) {
  const parts = [stdout.trim(), stderr.trim()].filter(Boolean);
  let text = parts.join("\n");
  if (text.length > MAX_CHARS) {
    text = `${text.slice(0, MAX_CHARS)}\n[${text.length - MAX_CHARS} characters more: ask for less]`;
  }
  if (signal) {
    text += `\n(stopped by ${signal}; look with \`run list\` before anything is repeated)`;
  } else if (code) {
    text += `\n(exit ${code})`;
  }
  return { content: [{ type: "text", text: text || "(no output)" }], details: { exitCode: code } };
}
