"""Recorded agent runs in the form that examples/replay_chat.py replays, made up from a seed."""

import json
import random

WORDS = ["flight", "refund", "gate", "delayed", "ticket", "luggage", "caf\u00e9", "\u6771\u4eac", "\u2014", '"quoted"']
WORDS += ["back\\slash", "{brace}", "\U0001f6eb", "line\nbreak"]


def recorded_runs(count, seed=7):
    made = random.Random(seed)
    return [recorded_run(made, number) for number in range(count)]


def recorded_run(made, number):
    traj = [{"role": "system", "content": text(made, 60)}]
    for step in range(made.randint(2, 8)):
        traj.append({"role": "user", "content": text(made, made.randint(1, 30))})
        for call in range(made.randint(0, 3)):
            id_ = f"call_{number}_{step}_{call}"
            arguments = {"query": text(made, 3), "limit": made.randint(1, 9), "nested": {"a": [1, None, True, 0.5]}}
            function = {"name": made.choice(["search", "book", "cancel"]), "arguments": json.dumps(arguments)}
            traj.append({"role": "assistant", "content": None, "tool_calls": [{"id": id_, "function": function}]})
            result = json.dumps({"ok": made.random() > 0.2, "text": text(made, 20)})
            traj.append({"role": "tool", "tool_call_id": id_, "name": function["name"], "content": result})
        traj.append({"role": "assistant", "content": text(made, 12)})
    traj.append({"role": "user", "content": "###STOP###"})
    return {"task_id": number, "trial": 0, "reward": made.choice([0.0, 1.0]), "traj": traj}


def text(made, words):
    return " ".join(made.choice(WORDS) for _ in range(words))


def write_recorded(path, count, seed=7):
    path.write_text(json.dumps(recorded_runs(count, seed)), encoding="utf-8")
    return path
