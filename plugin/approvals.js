// What the person was asked, and what was allowed: one call of one tool, for one plan, once.

const MAX_WAIT_MS = 600_000;
const MAX_TITLE = 80;
const MAX_CARD = 512;
const MAX_KEPT = 64;
const IRREVERSIBLE = 3;

export class Approvals {
  #allowed = new Map();

  /** The question about the plan of this call, or why there is none: then the call is blocked. */
  async ask(commands, event, context) {
    const id = event.toolCallId;
    const asked = String(event.params?.plan ?? "");
    if (!id) {
      return { problem: "this call has no id, so an approval could not be tied to it" };
    }
    const { plan, problem } = await commands.plan(asked, { context });
    if (problem) {
      return { problem };
    }
    const left = plan.expires * 1000 - Date.now();
    if (plan.state === "claimed") {
      return { problem: `${plan.id} was applied already; look with \`run list\`` };
    }
    if (plan.state !== "open" || left <= 0) {
      return { problem: `${plan.id} is ${plan.state === "open" ? "expired" : plan.state}` };
    }
    return {
      approval: {
        title: `Proxmox VE: ${plan.operation.replaceAll(".", " ")}?`.slice(0, MAX_TITLE),
        description: plan.card.slice(0, MAX_CARD),
        severity: plan.tier >= IRREVERSIBLE ? "critical" : "warning",
        allowedDecisions: ["allow-once", "deny"],
        timeoutMs: Math.min(MAX_WAIT_MS, left),
        onResolution: (decision) => {
          if (decision === "allow-once") {
            this.#keep(id, { plan: asked, hash: plan.hash, approver: approverOf(context) });
          }
        },
      },
    };
  }

  /** What was allowed for this very call and plan; undefined: nothing. It counts once. */
  take(id, plan) {
    const allowed = this.#allowed.get(id);
    this.#allowed.delete(id);
    return allowed?.plan === plan ? allowed : undefined;
  }

  #keep(id, allowed) {
    this.#allowed.set(id, allowed);
    // A call that was allowed and then never ran leaves its entry; only so many are kept.
    if (this.#allowed.size > MAX_KEPT) {
      this.#allowed.delete(this.#allowed.keys().next().value);
    }
  }
}

/** Where the question came from. Who pressed the button, OpenClaw does not tell. */
function approverOf(context) {
  const { channel, senderId } = context?.requester ?? {};
  return ["openclaw prompt", channel, senderId].filter(Boolean).join(" ").slice(0, MAX_TITLE);
}
