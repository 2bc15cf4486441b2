//! The operations as the OpenAPI document has them.

use tally_serve::Needs;
use tally_serve::api::{Body, FORMAT, Operation, Parameter, Reply, Values};

use crate::export::Format;

const JSON: &str = "application/json";

pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "At most this many. Default: 100.",
    values: Values::Whole(1, 1_000),
    is_repeated: false,
};
pub(super) const AFTER: Parameter = Parameter {
    name: "after",
    about: "Only those after this name: what an answer had in `next`.",
    values: Values::Text,
    is_repeated: false,
};
pub(super) const AFTER_NUMBER: Parameter = Parameter {
    name: "after",
    about: "Only those after this number: what an answer had in `next_after`.",
    values: Values::Whole(0, i64::MAX as u64),
    is_repeated: false,
};
pub(super) const BEFORE: Parameter = Parameter {
    name: "before",
    about: "Only those before this number: what an answer had in `next_before`.",
    values: Values::Whole(1, i64::MAX as u64),
    is_repeated: false,
};
pub(super) const EXPORT_FORMAT: Parameter = Parameter {
    name: "format",
    about: "In which format: of the Trace Event Format, which Perfetto opens; OTLP; Jaeger; a diagram of Mermaid; \
            all diagrams in Markdown; CSV; or a picture. It has to be given.",
    values: Values::OneOf(&Format::NAMES),
    is_repeated: false,
};
pub(super) const PART: Parameter = Parameter {
    name: "part",
    about: "Which diagram of Mermaid, if it takes several of less than 50,000 characters. Default: the only one.",
    values: Values::Whole(1, 10_000),
    is_repeated: false,
};

/// What all have in common.
const BASE: Operation = Operation {
    method: "get",
    path: "/api/v1/timelines",
    needs: Needs::Read,
    id: "",
    summary: "",
    about: "",
    parameters: &[],
    headers: &[],
    body: None,
    replies: &[],
};
const NO_CONTEXT: Reply =
    Reply { status: 404, about: "There is no such context.", media_types: Reply::PROBLEM };
const NO_TIMELINE: Reply = Reply {
    status: 404,
    about: "There is no such context or timeline.",
    media_types: Reply::PROBLEM,
};
const TOO_MANY: Reply = Reply {
    status: 429,
    about: "There are as many contexts as `--timelines-contexts-max` allows, or the timeline that the message \
            names is full.",
    media_types: Reply::PROBLEM,
};
const UNCHANGED: Reply =
    Reply { status: 304, about: "The client has this answer.", media_types: &[] };

pub(super) static RECORD: Operation = Operation {
    method: "post",
    needs: Needs::Ingest,
    id: "recordTimelineMessage",
    summary: "Stores what a message says of an event",
    about: "The answer comes after the COMMIT. The same again changes nothing, for 30 days: under the same \
            `Idempotency-Key`, or, without one, with the same context, timeline, kind, name, host, span and \
            time.",
    headers: &[Parameter {
        name: "Idempotency-Key",
        about: "1 to 255 characters of your choice. What comes again under it, in its context, is not stored \
                again, for 30 days; something else is refused with 422.",
        values: Values::Text,
        is_repeated: false,
    }],
    body: Some(Body { about: "At most 64 KiB.", media_types: &[(JSON, Some("TimelineMessage"))] }),
    replies: &[
        Reply {
            status: 200,
            about: "It is stored.",
            media_types: &[(JSON, Some("TimelineRecorded"))],
        },
        Reply {
            status: 409,
            about: "It was said before, and its timeline is not kept any more.",
            media_types: Reply::PROBLEM,
        },
        Reply {
            status: 422,
            about: "Something else was said under this key.",
            media_types: Reply::PROBLEM,
        },
        TOO_MANY,
    ],
    ..BASE
};
pub(super) static RECORD_ALL: Operation = Operation {
    method: "post",
    path: "/api/v1/timelines/batch",
    needs: Needs::Ingest,
    id: "recordTimelineMessages",
    summary: "Stores what several messages say, in order",
    about: "A message that is refused leaves the others as they are. Each may have an `idempotency_key` of its \
            own.",
    body: Some(Body {
        about: "At most 1,000 messages in 8 MiB.",
        media_types: &[(JSON, Some("TimelineMessages"))],
    }),
    replies: &[Reply {
        status: 200,
        about: "What became of each.",
        media_types: &[(JSON, Some("TimelineResults"))],
    }],
    ..BASE
};
pub(super) static CONTEXTS: Operation = Operation {
    path: "/api/v1/timelines/contexts",
    id: "listTimelineContexts",
    summary: "Contexts in order of their names, each with its newest timeline",
    parameters: &[LIMIT, AFTER, FORMAT],
    replies: &[
        Reply {
            status: 200,
            about: "Some of them, and where the list goes on.",
            media_types: &[(JSON, Some("TimelineContexts")), ("text/csv", None)],
        },
        UNCHANGED,
    ],
    ..BASE
};
pub(super) static CONFIGURE: Operation = Operation {
    method: "put",
    path: "/api/v1/timelines/contexts/{context}",
    needs: Needs::Admin,
    id: "configureTimelineContext",
    summary: "Says how long the timelines of a context are kept, and when its open events are abandoned",
    about: "What is left out is as the server's settings say.",
    body: Some(Body { about: "At most 4 KiB.", media_types: &[(JSON, Some("TimelineTerms"))] }),
    replies: &[
        Reply {
            status: 200,
            about: "As it stands now.",
            media_types: &[(JSON, Some("TimelineContext"))],
        },
        NO_CONTEXT,
    ],
    ..BASE
};
pub(super) static TIMELINES: Operation = Operation {
    path: "/api/v1/timelines/contexts/{context}",
    id: "listTimelines",
    summary: "The timelines of a context, the last first",
    parameters: &[LIMIT, BEFORE, FORMAT],
    replies: &[
        Reply {
            status: 200,
            about: "Some of them, and the context.",
            media_types: &[(JSON, Some("Timelines")), ("text/csv", None)],
        },
        UNCHANGED,
        NO_CONTEXT,
    ],
    ..BASE
};
pub(super) static SHOW: Operation = Operation {
    path: "/api/v1/timelines/contexts/{context}/{timeline}",
    id: "showTimeline",
    summary: "A timeline as a chart: rows in the order in which they are drawn",
    about: "`timeline` is `newest`, a number, an id, or a label.",
    replies: &[
        Reply {
            status: 200,
            about: "All of it, up to now if something is open.",
            media_types: &[(JSON, Some("TimelineChart"))],
        },
        UNCHANGED,
        NO_TIMELINE,
    ],
    ..BASE
};
pub(super) static EVENTS: Operation = Operation {
    path: "/api/v1/timelines/contexts/{context}/{timeline}/events",
    id: "listTimelineEvents",
    summary: "The events of a timeline, in the order in which they were stored",
    about: "`timeline` is `newest`, a number, an id, or a label.",
    parameters: &[LIMIT, AFTER_NUMBER, FORMAT],
    replies: &[
        Reply {
            status: 200,
            about: "Some of them, and the timeline.",
            media_types: &[(JSON, Some("TimelineEvents")), ("text/csv", None)],
        },
        UNCHANGED,
        NO_TIMELINE,
    ],
    ..BASE
};
pub(super) static EXPORT: Operation = Operation {
    path: "/api/v1/timelines/contexts/{context}/{timeline}/export",
    id: "exportTimeline",
    summary: "A timeline in a format that viewers open",
    about: "`timeline` is `newest`, a number, an id, or a label. What is open stays open: the formats of traces, \
            which know no open span, name it in the attribute `tally.left_out`.",
    parameters: &[EXPORT_FORMAT, PART],
    replies: &[
        Reply {
            status: 200,
            about: "All of it, up to now if something is open.",
            media_types: &[
                (JSON, Some("TimelineExport")),
                ("text/plain", None),
                ("text/markdown", None),
                ("text/csv", None),
                ("image/svg+xml", None),
            ],
        },
        UNCHANGED,
        NO_TIMELINE,
    ],
    ..BASE
};
