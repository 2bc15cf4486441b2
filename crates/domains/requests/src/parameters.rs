//! The query parameters that the API and the pages share, and how both read them.

use tally_serve::api::{Parameter, Parameters, Values};

use crate::dates::End;
use crate::periods::{Granularity, Zone};

pub(crate) const FROM: Parameter = Parameter {
    name: "from",
    about: "The first day, or the period that begins with it: `2015-05-17`, `2015-05`, `2015`, `today`, \
            `yesterday`, `this-week`, `last-week` (also `-month` and `-year`), or the last days as in \
            `7d`. Or a moment with its offset, such as `2015-05-17T10:00:00+02:00`; one within a \
            quarter-hour means its beginning. Default: the beginning.",
    values: Values::Text,
    is_repeated: false,
};
pub(crate) const TO: Parameter = Parameter {
    name: "to",
    about: "The last day, which is included, or the period that ends with it. Or a moment, which is not \
            included; one within a quarter-hour means its end. Default: no end.",
    ..FROM
};
pub(crate) const TZ: Parameter = Parameter {
    name: "tz",
    about: "The time zone of all dates, such as `Europe/Berlin` or `+05:30`. Default: `UTC`.",
    ..FROM
};
pub(crate) const SERVICE: Parameter = Parameter {
    name: "service",
    about: "Only this service; an empty one is a request without one.",
    values: Values::Name,
    is_repeated: true,
};
pub(crate) const METHOD: Parameter = Parameter {
    name: "method",
    about: "Only this method, a name or a number; `UNSPECIFIED` is a request without one.",
    values: Values::Text,
    is_repeated: true,
};
pub(crate) const PATH: Parameter =
    Parameter { name: "path", about: "Only this path.", values: Values::Text, is_repeated: true };
pub(crate) const PATH_PREFIX: Parameter = Parameter {
    name: "path_prefix",
    about: "Only paths that begin with this.",
    values: Values::Text,
    is_repeated: false,
};
pub(crate) const STATUS: Parameter = Parameter {
    name: "status",
    about: "Only this status or class, such as `404` or `5xx`; `0` is not known. Of gRPC: the code, `200` \
            for OK; other codes are in the class of the HTTP status that stands for them.",
    values: Values::Text,
    is_repeated: true,
};
pub(crate) const CUSTOMER: Parameter = Parameter {
    name: "customer",
    about: "Only this customer; an empty one is a request without one.",
    ..SERVICE
};

/// What totals are summed by, from the finest on, and the words for it.
pub(crate) const GRANULARITIES: [(&str, Granularity); 7] = [
    ("quarter", Granularity::Quarter),
    ("hour", Granularity::Hour),
    ("day", Granularity::Day),
    ("week", Granularity::Week),
    ("month", Granularity::Month),
    ("year", Granularity::Year),
    ("whole", Granularity::Whole),
];

/// The zone of all dates, which is UTC unless another one is given.
pub(crate) fn zone(given: &mut Parameters) -> Zone {
    given.read(&TZ, Zone::in_query).unwrap_or_else(Zone::utc)
}

/// The ends of the range, as far as they are given.
pub(crate) fn ends(given: &mut Parameters) -> (Option<End>, Option<End>) {
    (given.read(&FROM, str::parse), given.read(&TO, str::parse))
}

/// What this word stands for.
pub(crate) fn granularity(word: &str) -> Option<Granularity> {
    GRANULARITIES.into_iter().find(|(name, _)| *name == word).map(|(_, of)| of)
}

/// The word for it.
pub(crate) fn word_of(granularity: Granularity) -> &'static str {
    GRANULARITIES.into_iter().find(|(_, of)| *of == granularity).map_or("", |(name, _)| name)
}
