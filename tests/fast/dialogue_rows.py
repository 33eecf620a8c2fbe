"""Rows of every dialogue format with the conversation they hold: our own writing, shared by the format tests."""

from __future__ import annotations

from typing import Any

Q, A = "夜里脚抽筋怎么办？", "睡前拉伸小腿，注意保暖。"
Q2, A2 = "要补钙吗？", "先查一下血钙。"
TURNS = [("user", Q), ("assistant", A), ("user", Q2), ("assistant", A2)]

REMEDI = (
    "<|endoftext|> <|context|> {} <|endofcontext|> <|currentuser|> {} <|endofcurrentuser|> "
    "<|intent|> {} <|endofintent|> <|knowledge|> {} <|endofknowledge|> <|action|> {} <|endofaction|> "
    "<|response|> {} <|endofresponse|> <|endoftext|>"
)
HETMC = [
    "id\t00007\tapartment\t骨科\tdisease\t抽筋",
    f"P\t{Q}\t1",
    "P\t左腿更厉害。\t0",
    f"D\t{A}\t2",
    f"P\t{Q2}\t0",
    f"D\t{A2}\t2",
    "SUM1\t夜间小腿抽筋",
    "SUM2.0\t拉伸、保暖、查血钙",
]
GOLDEN: list[tuple[str, list[Any], list[tuple[str, str]]]] = [
    ("alpaca", [{"instruction": Q, "input": "", "output": A}], TURNS[:2]),
    ("alpaca", [{"instruction": Q, "input": "65岁", "output": A}], [("user", f"{Q}\n65岁"), ("assistant", A)]),
    (
        "alpaca",
        [{"instruction": Q2, "input": "", "output": A2, "history": [[Q, A]], "system": "你是助手。", "id": 7}],
        [("system", "你是助手。"), *TURNS],
    ),
    ("alpaca", [{"instruct": Q, "output": A, "history": [], "cate1": "骨科"}], TURNS[:2]),
    ("alpaca", [{"instruction": [Q, Q2], "input": None, "output": [A]}], [("user", f"{Q}\n{Q2}"), ("assistant", A)]),
    (
        "marked",
        [
            {"instruction": f" <user>: {Q} <bot>: {A} <user>: {Q2}", "input": "", "output": A2},
            {"instruction": f"<user>:{Q}\n<bot>:{A}\n<user>:{Q2}", "output": A2, "id": 3},
            {"instruction": Q, "input": "补充", "output": A},
        ],
        TURNS,
    ),
    (
        "sharegpt",
        [{"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}], "system": "你是助手。"}],
        [("system", "你是助手。"), *TURNS[:2]],
    ),
    (
        "sharegpt",
        [
            {
                "conversations": [
                    {"from": "system", "value": "你是助手。"},
                    {"from": "user", "value": Q, "time": "晚上"},
                    {"from": "function_call", "value": A},
                    {"from": "observation", "value": Q2},
                    {"from": "gpt", "value": A2},
                ],
                "tools": "[]",
                "system": "",
            },
        ],
        [("system", "你是助手。"), *TURNS],
    ),
    (
        "messages",
        [
            {
                "messages": [
                    {"role": "system", "content": "你是助手。"},
                    {"role": "user", "content": Q},
                    {"role": "assistant", "content": A},
                ],
                "score": 0.5,
            }
        ],
        [("system", "你是助手。"), *TURNS[:2]],
    ),
    (
        "disc",
        [
            {
                "_id": "1-2",
                "source": "own",
                "conversation": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}],
            }
        ],
        TURNS[:2],
    ),
    (
        "disc",
        [
            {
                "id": 1,
                "model": "m",
                "conversation": [{"role": "patient", "content": Q}, {"role": "doctor", "content": A}],
            }
        ],
        TURNS[:2],
    ),
    (
        "sharegpt-roles",
        [{"conversations": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]}],
        TURNS[:2],
    ),
    (
        "remedi-session",
        [
            {
                "topic": "抽筋",
                "dialogues": [
                    {"turn": 0, "role": "patient", "sentence": Q, "tokens": ["脚"]},
                    {"turn": 1, "role": "doctor", "sentence": "多久了？", "tokens": []},
                    {"turn": 2, "role": "doctor", "sentence": A, "tokens": []},
                ],
            }
        ],
        [("user", Q), ("assistant", f"多久了？\n{A}")],
    ),
    (
        "roles",
        [
            {"role": "client", "content": Q, "annotation": [{"sentence": Q, "label": ""}]},
            {"role": "counselor", "content": A, "annotation": []},
        ],
        TURNS[:2],
    ),
    (
        "roles",
        [
            [{"role": "patient", "content": Q}, {"role": "doctor", "content": A}],
            [{"role": "client", "content": Q2}, {"role": "counselor", "content": A2}],
        ],
        TURNS[:2],
    ),
    ("chatmed", [{"query": Q, "response": A}, {"query": f"<s>问：\n{Q2}\n答：\n", "response": A2}], TURNS[:2]),
    ("wenda", [{"问": Q, "答": A, "来源": "自写"}], TURNS[:2]),
    ("context-target", [{"context": Q, "target": A}], TURNS[:2]),
    ("prompt-completion", [{"prompt": Q, "completion": A}], TURNS[:2]),
    ("prompt-response", [{"prompt": Q, "response": A}], TURNS[:2]),
    ("disc-cmd", [{"id": "0-1", "department": "骨科", "raw_case": "关节", "question": Q, "raw_anwser": A}], TURNS[:2]),
    ("disc-judge", [{"id": 1, "model": "m", "source": "s", "scores": "主动: 3\n准确: 4", "prompt": Q}], TURNS[:1]),
    ("huatuo-case", [{"id": 1, "medical_case": Q, "doctor_diagnosis": A, "Department": "骨科"}], TURNS[:2]),
    (
        "cmid",
        [{"id": "1", "source": "own", "dataset_info": {"label_4class": "病症"}, "cate": "病症", "question": Q}],
        TURNS[:1],
    ),
    ("cmb-case", [{"id": "0", "case": "现病史：夜间抽筋。", "first_question": Q}], TURNS[:1]),
    ("intent", [{"id": 1, "label": "治疗", "query": Q}], TURNS[:1]),
    ("question-only", [{"question": Q, "ICD-10": "musculoskeletal"}], TURNS[:1]),
    ("input-only", [{"input": Q}], TURNS[:1]),
    (
        "taiyi",
        [
            {
                "conversation_id": 1,
                "language": "zh",
                "conversation": [{"human": Q, "assistant": A}, {"human": Q2, "assistant": A2}],
            }
        ],
        TURNS,
    ),
    (
        "cmb-clin",
        [{"id": 0, "title": "案例", "description": "病人夜间抽筋。", "QA_pairs": [{"question": Q, "solution": A}]}],
        [("system", "病人夜间抽筋。"), *TURNS[:2]],
    ),
    (
        "toyhom",
        [
            {"department": "骨科", "title": "脚抽筋", "ask": Q, "answer": A},
            {"department": "骨科", "title": "", "ask": Q, "answer": A},
            {"department": "骨科", "title": Q, "ask": Q, "answer": A},
            {"department": "骨科", "title": "脚抽筋", "ask": "", "answer": A},
        ],
        [("user", f"脚抽筋\n{Q}"), ("assistant", A)],
    ),
    (
        "toyhom",
        [{"department": "骨科", "title": "脚抽筋", "question": Q, "answer": A}],
        [("user", f"脚抽筋\n{Q}"), ("assistant", A)],
    ),
    ("toyhom", [["骨科", "脚抽筋", Q, A], ["骨科", "补钙", Q2, A2]], [("user", f"脚抽筋\n{Q}"), ("assistant", A)]),
    (
        "cmedqa2",
        [
            {"question_id": "1", "content": Q},
            {"question_id": "2", "content": Q2},
            {"ans_id": "10", "question_id": "1", "content": A},
            {"ans_id": "11", "question_id": "1", "content": A2},
        ],
        TURNS[:2],
    ),
    ("cmedqa-rank", [f"1\t{Q}\t{A * 3}", f"0\t{Q2}\t{A2 * 4}"], [("user", Q), ("assistant", A * 3)]),
    (
        "two-answers",
        [{"question": Q, "answer_1": A, "answer_2": A2, "specialty_1": "骨科", "specialty_2": "内科", "url": "u"}],
        TURNS[:2],
    ),
    (
        "side-by-side",
        [{"问题": Q, "原模型": A2, "新模型": A}, {"问题": Q2, "原模型": A, "新模型": A2}],
        [("user", Q), ("assistant", A2)],
    ),
    ("het-mc", [*HETMC, "", *HETMC[:2], HETMC[3]], [("user", f"{Q}\n左腿更厉害。"), *TURNS[1:]]),
    (
        "remedi",
        [
            REMEDI.format("", Q, "Inform symptom 抽筋", "", "Inquire time", A),
            REMEDI.format(f"<|user|> {Q} <|system|> {A}", Q2, "Inquire medicine", "<|k|>抽筋 相关检查 血钙", "", A2),
            "",
            REMEDI.format(f"<|user|> {Q2}", Q, "", "", "", A),
        ],
        TURNS,
    ),
    (
        "dxy",
        [
            {
                "split": "train",
                "goal": {"explicit_inform_slots": {"咳嗽": True}},
                "self_repo": Q,
                "consult_id": "1",
                "dialog": [Q, A],
                "disease_tag": "感冒",
            },
            {"split": "test", "goal": {}, "self_repo": Q2, "consult_id": "2", "dialog": [Q, A], "disease_tag": "感冒"},
        ],
        TURNS[:2],
    ),
    ("qa-blocks", [Q, A, "", "", Q2, A2, "", "", Q, A2], TURNS[:2]),
]
"""(format, rows of a file, how the conversation of the first record begins)."""
