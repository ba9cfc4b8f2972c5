// The face of pveops in OpenClaw: three tools over its commands, and one question to a person.
//
// Nothing is decided here. What may be done is decided by `pve` and its policy; what is asked of
// the person is the card that `pve` renders; what is applied is the plan that the card showed,
// by its hash.

import { Approvals } from "./approvals.js";
import { Commands } from "./commands.js";
import { makeReceipt } from "./receipt.js";
import { textOf } from "./talk.js";

const ARGS = {
  type: "array",
  items: { type: "string" },
  description: "The words after `pve`, one each, such as [\"guest\", \"show\", \"web01\"].",
};
const PLAN = { type: "string", description: "The plan's id, pl_..." };
const REASON = { type: "string", description: "Why, in the person's words; kept in the record." };

function parameters(properties, required) {
  return { type: "object", additionalProperties: false, properties, required };
}

export default {
  id: "pveops",
  name: "pveops",
  description: "Operate Proxmox VE clusters: looking is free, a change is asked of a person first.",

  register(api) {
    const commands = new Commands(api.pluginConfig ?? {});
    const approvals = new Approvals();

    api.registerTool((context) => ({
      name: "pve_read",
      description: "Look at the Proxmox VE cluster. Runs a `pve` command that only reads.",
      parameters: parameters({ args: ARGS }, ["args"]),
      execute: async (_id, { args }) =>
        textOf(await commands.pve(["--look-only", ...args], { context })),
    }), { name: "pve_read" });

    api.registerTool((context) => ({
      name: "pve_plan",
      description:
        "Ask for a change. It is done at once where the policy allows that; else a plan waits, " +
        "and nothing was changed: go on with pve_apply.",
      parameters: parameters({ args: ARGS, reason: REASON }, ["args", "reason"]),
      execute: async (_id, { args, reason }) => {
        const before = ["--no-code", "--reason", reason];
        return textOf(await commands.pve([...before, ...args], { context }));
      },
    }), { name: "pve_plan" });

    api.registerTool((context) => ({
      name: "pve_apply",
      description: "Carry out a plan once. The person is asked first, with the plan before them.",
      parameters: parameters({ plan: PLAN }, ["plan"]),
      execute: async (id, { plan }) => {
        const approved = approvals.take(id, plan);
        if (!approved) {
          throw new Error(`nobody was asked about ${plan} in this call: nothing was done`);
        }
        const receipt = makeReceipt(await commands.approvalKey(), approved);
        return textOf(
          await commands.apply([plan, "--receipt", "-"], { context, stdin: `${receipt}\n` }),
        );
      },
    }), { name: "pve_apply" });

    api.on("before_tool_call", async (event, context) => {
      if (event.toolName !== "pve_apply") {
        return undefined;
      }
      const question = await approvals.ask(commands, event, context);
      return question.problem
        ? { block: true, blockReason: question.problem }
        : { requireApproval: question.approval };
    });
  },
};
