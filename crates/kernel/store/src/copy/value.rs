//! A value as every kind of database has it, and what rows add up to.

use std::error::Error as StdError;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Where Postgres begins to count days and microseconds: at 2000-01-01, seen from 1970-01-01.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;
/// How large a piece of rows gets.
const PIECE_ROWS: usize = 1_000;
const PIECE_BYTES: usize = 256 << 10;

/// A value as SQLite stores it: a day is a number of days since 1970-01-01, a time is a number of
/// microseconds since then, a UUID has 16 bytes, and a truth value is 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row.
pub(super) type Line = Vec<Value>;

/// How Postgres stores a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Long,
    Short,
    Flag,
    Day,
    Time,
    Text,
    Bytes,
    Uuid,
}

/// What rows are, whatever their order: how many, and the sum of their hashes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) rows: u64,
    hashes: u128,
    /// The sum of the last column, as far as it has numbers.
    pub(super) last: i128,
}

/// Rows on their way, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Piece {
    lines: Vec<Line>,
    bytes: usize,
}

// === impl Value ===

impl Value {
    /// Whether columns of this type can be copied.
    pub(super) fn has(ty: &Type) -> bool {
        Shape::of(ty).is_some()
    }

    /// A value of SQLite's.
    pub(super) fn of_sqlite(value: ValueRef<'_>) -> Result<Self, String> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Number(number),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?;
                Self::Text(text.to_owned())
            }
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_owned()),
            ValueRef::Real(number) => return Err(format!("{number} is not a whole number")),
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Number(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let shape = Shape::of(ty).ok_or("a value of another type")?;
        let since = |number: i64, epoch| number.checked_add(epoch).ok_or("an infinite time");
        Ok(match shape {
            Shape::Long => Self::Number(i64::from_sql(ty, raw)?),
            Shape::Short => Self::Number(i32::from_sql(ty, raw)?.into()),
            Shape::Flag => Self::Number(bool::from_sql(ty, raw)?.into()),
            Shape::Day => match i32::from_sql(ty, raw)? {
                i32::MIN | i32::MAX => return Err("an infinite day".into()),
                day => Self::Number(since(day.into(), EPOCH_DAYS)?),
            },
            Shape::Time => match i64::from_sql(ty, raw)? {
                i64::MIN => return Err("an infinite time".into()),
                time => Self::Number(since(time, EPOCH_MICROS)?),
            },
            Shape::Text => Self::Text(String::from_sql(ty, raw)?),
            Shape::Bytes | Shape::Uuid => Self::Bytes(raw.to_owned()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        Self::has(ty)
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let unfit = || format!("{self:?} does not fit into a column of type {}", ty.name());
        let shape = Shape::of(ty).ok_or_else(unfit)?;
        match (self, shape) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Number(number), Shape::Long) => number.to_sql(ty, out),
            (Self::Number(number), Shape::Short) => {
                i32::try_from(*number).map_err(|_| unfit())?.to_sql(ty, out)
            }
            (Self::Number(flag @ 0..=1), Shape::Flag) => (*flag == 1).to_sql(ty, out),
            (Self::Number(day), Shape::Day) => {
                let day = day.checked_sub(EPOCH_DAYS).and_then(|day| i32::try_from(day).ok());
                day.ok_or_else(unfit)?.to_sql(ty, out)
            }
            (Self::Number(time), Shape::Time) => {
                time.checked_sub(EPOCH_MICROS).ok_or_else(unfit)?.to_sql(ty, out)
            }
            (Self::Text(text), Shape::Text) => text.to_sql(ty, out),
            (Self::Bytes(bytes), Shape::Bytes) => bytes.to_sql(ty, out),
            (Self::Bytes(bytes), Shape::Uuid) if bytes.len() == 16 => bytes.to_sql(ty, out),
            _ => Err(unfit().into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        Self::has(ty)
    }

    to_sql_checked!();
}

// === impl Shape ===

impl Shape {
    fn of(ty: &Type) -> Option<Self> {
        Some(match *ty {
            Type::INT8 => Self::Long,
            Type::INT4 => Self::Short,
            Type::BOOL => Self::Flag,
            Type::DATE => Self::Day,
            Type::TIMESTAMPTZ => Self::Time,
            Type::TEXT | Type::VARCHAR => Self::Text,
            Type::BYTEA => Self::Bytes,
            Type::UUID => Self::Uuid,
            _ => return None,
        })
    }
}

// === impl Sums ===

impl Sums {
    pub(super) fn add(&mut self, line: &[Value]) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        self.rows += 1;
        self.hashes += u128::from(hasher.finish());
        if let Some(Value::Number(number)) = line.last() {
            self.last += i128::from(*number);
        }
    }
}

// === impl Piece ===

impl Piece {
    /// Adds a row. A piece that is full is taken out.
    pub(super) fn add(&mut self, line: Line) -> Option<Vec<Line>> {
        self.bytes += line.iter().map(Value::bytes).sum::<usize>();
        self.lines.push(line);
        let is_full = self.lines.len() >= PIECE_ROWS || self.bytes >= PIECE_BYTES;
        is_full.then(|| std::mem::take(self).lines)
    }

    /// What is left at the end.
    pub(super) fn rest(self) -> Option<Vec<Line>> {
        Some(self.lines).filter(|lines| !lines.is_empty())
    }
}
