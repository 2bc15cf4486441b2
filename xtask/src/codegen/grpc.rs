//! docs/reference/grpc.md: every service, method, message and field, with the comments of proto/.

use std::collections::HashMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, ServiceDescriptorProto,
};

use super::cell;

const OPENING: &str = "\
# gRPC reference

<!-- Written by `cargo xtask codegen` from proto/. -->

A server also has gRPC's own `grpc.health.v1.Health` and reflection
(`grpc.reflection.v1.ServerReflection`). A failed call says in the trailer `tally-reason` what programs can
tell apart; [Troubleshoot](../troubleshoot.md#reasons) lists the reasons, and [Secure](../secure.md#keys) which
key each method needs.
";

/// Where a comment belongs to: the numbers of descriptor.proto on the way to it.
type Place = Vec<i32>;

/// The numbers of fields of descriptor.proto.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const SYNTAX: i32 = 12;
/// The same of a message's fields, a service's methods and an enum's values.
const PARTS: i32 = 2;

/// A file and its comments.
struct Source<'a> {
    file: &'a FileDescriptorProto,
    comments: HashMap<Place, String>,
}

/// The page.
pub(super) fn page(descriptors: &FileDescriptorSet) -> String {
    let ours = |file: &&FileDescriptorProto| !file.package().starts_with("google.protobuf");
    let mut files: Vec<_> = descriptors.file.iter().filter(ours).map(Source::of).collect();
    // The public API first, and what others refer to last.
    let order = ["count.v1", "tally.requests.v1", "tally.producers.v1", "tally.server.v1"];
    let place = |source: &Source<'_>| order.iter().position(|name| *name == source.file.package());
    files.sort_by_key(|source| (place(source).unwrap_or(order.len()), source.file.name()));
    let mut page = OPENING.to_owned();
    page += "\n| service | methods |\n|---|---|\n";
    for Source { file, .. } in &files {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let method =
                |method: &str| format!("[{method}](#{})", anchor(&format!("{name}/{method}")));
            let methods: Vec<_> = service.method.iter().map(|one| method(one.name())).collect();
            page += &format!("| [{name}](#{}) | {} |\n", anchor(&name), methods.join(", "));
        }
    }
    files.iter().for_each(|source| source.write(&mut page));
    page
}

// === impl Source ===

impl<'a> Source<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let all = file.source_code_info.iter().flat_map(|info| &info.location);
        let comments = all.map(|one| (one.path.clone(), one.leading_comments().to_owned()));
        Self { file, comments: comments.filter(|(_, comment)| !comment.is_empty()).collect() }
    }

    fn comment(&self, place: &[i32]) -> &str {
        self.comments.get(place).map_or("", String::as_str)
    }

    fn write(&self, page: &mut String) {
        *page += &format!("\n## {}\n", self.file.name());
        paragraphs(page, self.comment(&[SYNTAX]));
        for (at, service) in (0..).zip(&self.file.service) {
            self.service(page, &[SERVICES, at], service);
        }
        for (at, message) in (0..).zip(&self.file.message_type) {
            self.message(page, &[MESSAGES, at], message);
        }
        for (at, one) in (0..).zip(&self.file.enum_type) {
            self.enumeration(page, &[ENUMS, at], one);
        }
    }

    fn service(&self, page: &mut String, place: &[i32], service: &ServiceDescriptorProto) {
        let name = format!("{}.{}", self.file.package(), service.name());
        *page += &format!("\n### {name}\n");
        paragraphs(page, self.comment(place));
        for (at, method) in (0..).zip(&service.method) {
            let stream = |is: bool| if is { "stream of " } else { "" };
            *page += &format!(
                "\n#### {name}/{}\n\nRequest: {}{}. Response: {}{}.\n",
                method.name(),
                stream(method.client_streaming()),
                link(method.input_type()),
                stream(method.server_streaming()),
                link(method.output_type()),
            );
            paragraphs(page, self.comment(&[place, &[PARTS, at]].concat()));
        }
    }

    fn message(&self, page: &mut String, place: &[i32], message: &DescriptorProto) {
        *page += &format!("\n### {}.{}\n", self.file.package(), message.name());
        paragraphs(page, self.comment(place));
        if message.field.is_empty() {
            *page += "\nIt has no fields.\n";
            return;
        }
        *page += "\n| field | number | type | meaning |\n|---|--:|---|---|\n";
        for (at, field) in (0..).zip(&message.field) {
            let comment = self.comment(&[place, &[PARTS, at]].concat());
            let choice = match field.oneof_index {
                Some(index) if !field.proto3_optional() => {
                    let index = usize::try_from(index).expect("an index");
                    format!(" One of `{}`.", message.oneof_decl[index].name())
                }
                _ => String::new(),
            };
            *page += &format!(
                "| `{}` | {} | {} | {} |\n",
                field.name(),
                field.number(),
                type_of(message, field),
                cell(format!("{}{choice}", marked(comment)).trim()),
            );
        }
    }

    fn enumeration(&self, page: &mut String, place: &[i32], one: &EnumDescriptorProto) {
        *page += &format!("\n### {}.{}\n", self.file.package(), one.name());
        paragraphs(page, self.comment(place));
        *page += "\n| value | number | meaning |\n|---|--:|---|\n";
        for (at, value) in (0..).zip(&one.value) {
            let comment = self.comment(&[place, &[PARTS, at]].concat());
            let meaning = cell(marked(comment).trim());
            *page += &format!("| `{}` | {} | {meaning} |\n", value.name(), value.number());
        }
    }
}

/// The type of a field of a message, and how many there may be.
fn type_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    // A map is a list of a type that the compiler makes for it.
    let mut entries = message.nested_type.iter().filter(|one| {
        let is_map = one.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry);
        is_map && field.type_name().ends_with(&format!(".{}.{}", message.name(), one.name()))
    });
    if let Some(DescriptorProto { field, .. }) = entries.next() {
        let parts: Vec<_> = field.iter().map(|part| type_of(message, part)).collect();
        return format!("map of {}", parts.join(" to "));
    }
    let name = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        other => other.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    match field.label() {
        Label::Repeated => format!("repeated {name}"),
        _ if field.proto3_optional() => format!("optional {name}"),
        _ => name,
    }
}

/// A type's name, which leads to its heading.
fn link(full: &str) -> String {
    let full = full.trim_start_matches('.');
    let short = full.rsplit('.').next().expect("a name");
    match full.strip_prefix("google.protobuf.") {
        Some(_) => format!("`{full}`"),
        None => format!("[{short}](#{})", anchor(full)),
    }
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c));
    kept.collect::<String>().to_lowercase()
}

/// A comment as paragraphs; lines such as `NOT_FOUND: …` become a list of what may go wrong.
fn paragraphs(page: &mut String, comment: &str) {
    let (mut text, mut was_item) = (String::new(), false);
    for line in comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        let code = line.split_once(':').map_or("", |(code, _)| code);
        let is_code = |word: &str| {
            word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        };
        if code.split(" and ").all(is_code) {
            text.truncate(text.trim_end().len());
            text += if was_item { "\n- " } else { "\n\n- " };
            text += &format!("`{}`", code.replace(" and ", "` and `"));
            text += line[code.len()..].trim_end();
            was_item = true;
            continue;
        } else if line.trim().is_empty() {
            text += "\n\n";
            was_item = false;
            continue;
        } else if was_item && !line.starts_with(' ') && text.ends_with('.') {
            text += "\n\n";
            was_item = false;
        } else if !text.is_empty() && !text.ends_with("\n\n") {
            text += " ";
        }
        text += line.trim();
    }
    let text = marked(&text);
    let text = text.trim();
    if !text.is_empty() {
        *page += &format!("\n{text}\n");
    }
}

/// Names with an underscore as code, and what Markdown would read as its own as it is.
fn marked(text: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut marked = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            marked += &format!("`{part}`");
            continue;
        }
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            if end == 0 {
                if "*<".contains(first) {
                    marked.push('\\');
                }
                marked.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let word = &rest[..end];
            let is_code = word.len() > 1 && word.contains('_');
            marked += &if is_code { format!("`{word}`") } else { word.to_owned() };
            rest = &rest[end..];
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::{marked, paragraphs};

    #[test]
    fn comments_become_markdown() {
        let mut page = String::new();
        let comment = " Counts a\n batch.\n\n NOT_FOUND: no `x_y`\n   is there.\n UNAVAILABLE: 2 * 3 of x_y.\n";
        paragraphs(&mut page, comment);
        let expected = "\nCounts a batch.\n\n- `NOT_FOUND`: no `x_y` is there.\n- `UNAVAILABLE`: 2 \\* 3 of `x_y`.\n";
        assert_eq!(page, expected);
        assert_eq!(marked("a <b> c"), "a \\<b> c");
    }
}
