// Runs `pve` and `pve-apply` as an agent's commands: no shell, and with an agent's marks.

import { spawn } from "node:child_process";
import { lstat, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

const LOOK_MS = 120_000;
const MAX_BYTES = 4 * 1024 * 1024;
const PLAN_ID = /^pl_[0-9a-f]{12,64}$/;
const OTHERS = 0o077;

export class Commands {
  #pve;
  #environ;
  #before;

  constructor({ pve = "pve", home = "", profile = "" }) {
    this.#pve = pve;
    this.#environ = home ? { PVE_HOME: home } : {};
    this.#before = profile ? ["--profile", profile] : [];
  }

  pve(args, options = {}) {
    return this.#run(this.#pve, [...this.#before, ...args], { limitMs: LOOK_MS, ...options });
  }

  /** Has no time limit: it answers within seconds, and what it began goes on by itself. */
  apply(args, options = {}) {
    const program = this.#pve.includes("/") ? join(dirname(this.#pve), "pve-apply") : "pve-apply";
    return this.#run(program, [...args, ...this.#before], options);
  }

  /** {plan} as `pve plan show` knows it, card and hash with it; or {problem}. */
  async plan(id, options = {}) {
    if (!PLAN_ID.test(id)) {
      return { problem: `${JSON.stringify(id.slice(0, 40))} is no plan's id (pl_...)` };
    }
    const done = await this.pve(["plan", "show", id, "--json"], options);
    const told = parse(done.stdout);
    const { plan, error } = told ?? {};
    if (!told?.ok || !plan?.card || !/^[0-9a-f]{64}$/.test(plan.hash ?? "")) {
      return { problem: error?.message ?? `the plan ${id} could not be shown` };
    }
    return { plan };
  }

  /** The key that receipts are signed with. Made by a person: pve plan approval-key. */
  async approvalKey() {
    const done = await this.pve(["plan", "approval-key", "--where", "--json"]);
    const file = parse(done.stdout)?.data?.file;
    if (!file) {
      throw new Error("there is no approval key; a person makes it: pve plan approval-key");
    }
    const found = await lstat(file);
    if (!found.isFile() || found.mode & OTHERS) {
      throw new Error(`${file} can be read by others; chmod 600 it, or make it again`);
    }
    return Buffer.from((await readFile(file, "utf8")).trim(), "utf8");
  }

  #run(program, args, { context, stdin = "", limitMs = 0 }) {
    const environ = { ...process.env, ...this.#environ, ...marksOf(context) };
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        env: environ,
        stdio: ["pipe", "pipe", "pipe"],
        timeout: limitMs,
      });
      const out = { stdout: "", stderr: "" };
      for (const name of ["stdout", "stderr"]) {
        child[name].setEncoding("utf8");
        child[name].on("data", (text) => {
          out[name] = (out[name] + text).slice(0, MAX_BYTES);
        });
      }
      child.on("error", (error) =>
        reject(new Error(`${program} cannot be run: ${error.message}; is pveops installed?`)),
      );
      child.on("close", (code, signal) => resolve({ ...out, code, signal }));
      // A command that ended before it read its input has closed it; its answer tells the rest.
      child.stdin.on("error", () => {});
      child.stdin.end(stdin);
    });
  }
}

/** By these `pve` knows that an agent asks, whether anybody waits for it, and on whose behalf. */
function marksOf(context) {
  const marks = { OPENCLAW_SHELL: "plugin" };
  if (context?.sessionKey) {
    marks.OPENCLAW_SESSION_KEY = String(context.sessionKey);
  }
  if (context?.agentId) {
    marks.OPENCLAW_AGENT_ID = String(context.agentId);
  }
  return marks;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
