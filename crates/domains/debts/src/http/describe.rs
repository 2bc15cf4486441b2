//! The operations as the OpenAPI document has them.

use tally_serve::Needs;
use tally_serve::api::{Body, FORMAT, Operation, Parameter, Reply, Values};

const JSON: &str = "application/json";

/// How a debt may stand.
pub(super) const STATUSES: &[&str] = &["new", "up", "down", "paused", "late"];

pub(super) const STATUS: Parameter = Parameter {
    name: "status",
    about: "Only debts that stand so.",
    values: Values::SomeOf(STATUSES),
    is_repeated: false,
};
pub(super) const TAG: Parameter = Parameter {
    name: "tag",
    about: "Only debts that have all of these tags.",
    values: Values::Text,
    is_repeated: true,
};
pub(super) const SEARCH: Parameter = Parameter {
    name: "search",
    about: "Only debts that have this in their slug or name, in upper or lower case.",
    values: Values::Text,
    is_repeated: false,
};
pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "At most this many. Default: 1,000.",
    values: Values::Whole(1, 1_000),
    is_repeated: false,
};
pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    about: "Go on after an answer: what it had in `next`.",
    values: Values::Text,
    is_repeated: false,
};
pub(super) const ORDER: Parameter = Parameter {
    name: "order",
    about: "In order of their slugs alone, so that a walk through all pages misses none, whatever becomes of debts meanwhile.",
    values: Values::OneOf(&["slug"]),
    is_repeated: false,
};
pub(super) const LIMIT_ITEMS: Parameter = Parameter {
    name: "limit",
    about: "At most this many. Default: 100.",
    values: Values::Whole(1, 1_000),
    is_repeated: false,
};
pub(super) const BEFORE: Parameter = Parameter {
    name: "before",
    about: "Only those before this number: what an answer had in `next_before`.",
    values: Values::Whole(1, i64::MAX as u64),
    is_repeated: false,
};

/// What all have in common.
const BASE: Operation = Operation {
    method: "get",
    path: "/api/v1/debts/{debt}",
    needs: Needs::Read,
    id: "",
    summary: "",
    about: "`debt` is a slug, a number or an id.",
    parameters: &[],
    headers: &[],
    body: None,
    replies: &[],
};
const NONE: Reply =
    Reply { status: 404, about: "There is no such debt.", media_types: Reply::PROBLEM };
const TAKEN: Reply =
    Reply { status: 409, about: "Another debt has this slug.", media_types: Reply::PROBLEM };
const TOO_MANY: Reply = Reply {
    status: 429,
    about: "There are as many debts as `--debts-max` allows.",
    media_types: Reply::PROBLEM,
};
const UNCHANGED: Reply =
    Reply { status: 304, about: "The client has this answer.", media_types: &[] };
const DEFINITION: Body =
    Body { about: "At most 64 KiB.", media_types: &[(JSON, Some("DebtDefinition"))] };

const fn debt(status: u16, about: &'static str) -> Reply {
    Reply { status, about, media_types: &[(JSON, Some("Debt"))] }
}

pub(super) static LIST: Operation = Operation {
    path: "/api/v1/debts",
    id: "listDebts",
    summary: "Debts, the overdue ones first",
    about: "Then the late ones, each in order of their slugs.",
    parameters: &[STATUS, TAG, SEARCH, ORDER, LIMIT, AFTER, FORMAT],
    replies: &[
        Reply {
            status: 200,
            about: "Some of them, and where the list goes on.",
            media_types: &[(JSON, Some("Debts")), ("text/csv", None)],
        },
        UNCHANGED,
    ],
    ..BASE
};
pub(super) static ADD: Operation = Operation {
    method: "post",
    path: "/api/v1/debts",
    needs: Needs::Admin,
    id: "addDebt",
    summary: "Adds a debt",
    about: "The same one again, under its slug, changes nothing.",
    body: Some(DEFINITION),
    replies: &[debt(201, "It is added."), debt(200, "It was there before."), TAKEN, TOO_MANY],
    ..BASE
};
pub(super) static SHOW: Operation = Operation {
    id: "showDebt",
    summary: "A debt, its open runs, and its next times",
    replies: &[
        debt(200, "With `runs`, `next` and `badge`, the link of its badge on this server."),
        UNCHANGED,
        NONE,
    ],
    ..BASE
};
pub(super) static UPDATE: Operation = Operation {
    method: "put",
    needs: Needs::Admin,
    id: "updateDebt",
    summary: "Gives a debt other terms",
    about: "Its payments and runs stay; what is due next follows from the new terms. `debt` is a slug, a \
            number or an id.",
    body: Some(DEFINITION),
    replies: &[debt(200, "As it stands now."), NONE, TAKEN],
    ..BASE
};
pub(super) static FORGET: Operation = Operation {
    method: "delete",
    needs: Needs::Admin,
    id: "forgetDebt",
    summary: "Forgets a debt, with its payments and runs",
    replies: &[debt(200, "As it was."), NONE],
    ..BASE
};
pub(super) static PAUSE: Operation = Operation {
    method: "post",
    path: "/api/v1/debts/{debt}/pause",
    needs: Needs::Admin,
    id: "pauseDebt",
    summary: "Pauses a debt: payments are recorded, and nothing is overdue",
    replies: &[debt(200, "It is paused."), NONE],
    ..BASE
};
pub(super) static RESUME: Operation = Operation {
    method: "post",
    path: "/api/v1/debts/{debt}/resume",
    needs: Needs::Admin,
    id: "resumeDebt",
    summary: "Resumes a debt: its limits begin again now",
    replies: &[debt(200, "It is not paused."), NONE],
    ..BASE
};
pub(super) static PAY: Operation = Operation {
    method: "post",
    path: "/api/v1/debts/{debt}/payments",
    needs: Needs::Ingest,
    id: "payDebt",
    summary: "Pays",
    about: "The answer comes after the COMMIT. The same again counts once: under the same \
            `Idempotency-Key`, or, of a start, a stage, a success and a failure, with the same `run`. `debt` \
            is a slug, a number or an id.",
    headers: &[Parameter {
        name: "Idempotency-Key",
        about: "1 to 255 characters of your choice. What comes again under it is answered as the first time \
                and not stored again, as long as the payment is kept; something else is refused with 422.",
        values: Values::Text,
        is_repeated: false,
    }],
    body: Some(Body { about: "At most 128 KiB.", media_types: &[(JSON, Some("DebtPayment"))] }),
    replies: &[
        Reply { status: 200, about: "It is stored.", media_types: &[(JSON, Some("DebtPaid"))] },
        Reply {
            status: 201,
            about: "The debt is made, and paid.",
            media_types: &[(JSON, Some("DebtPaid"))],
        },
        Reply {
            status: 404,
            about: "There is no such debt, and the payment brings no `create`.",
            media_types: Reply::PROBLEM,
        },
        Reply {
            status: 422,
            about: "Something else was paid under this key.",
            media_types: Reply::PROBLEM,
        },
        TOO_MANY,
    ],
    ..BASE
};

pub(super) static RENEW_BADGES: Operation = Operation {
    method: "post",
    path: "/api/v1/debts/badges/renew",
    needs: Needs::Admin,
    id: "renewDebtBadges",
    summary: "Makes all links of badges of the namespace void",
    about: "Answers have new ones from then on. Another server may take an old one for 10 seconds more.",
    replies: &[Reply { status: 204, about: "They are void.", media_types: &[] }],
    ..BASE
};

/// Lists of a debt's items.
const ITEMS: Operation = Operation { parameters: &[LIMIT_ITEMS, BEFORE, FORMAT], ..BASE };

pub(super) static PAYMENTS: Operation = Operation {
    path: "/api/v1/debts/{debt}/payments",
    id: "listDebtPayments",
    summary: "The payments of a debt, the last first",
    replies: &[
        Reply {
            status: 200,
            about: "Some of them.",
            media_types: &[(JSON, Some("DebtPayments")), ("text/csv", None)],
        },
        UNCHANGED,
        NONE,
    ],
    ..ITEMS
};
pub(super) static RUNS: Operation = Operation {
    path: "/api/v1/debts/{debt}/runs",
    id: "listDebtRuns",
    summary: "The runs of a debt, the last first",
    replies: &[
        Reply {
            status: 200,
            about: "Some of them.",
            media_types: &[(JSON, Some("DebtRuns")), ("text/csv", None)],
        },
        UNCHANGED,
        NONE,
    ],
    ..ITEMS
};
pub(super) static FLIPS: Operation = Operation {
    path: "/api/v1/debts/{debt}/flips",
    id: "listDebtFlips",
    summary: "The alarms and recoveries of a debt, the last first",
    replies: &[
        Reply {
            status: 200,
            about: "Some of them.",
            media_types: &[(JSON, Some("DebtFlips")), ("text/csv", None)],
        },
        UNCHANGED,
        NONE,
    ],
    ..ITEMS
};
