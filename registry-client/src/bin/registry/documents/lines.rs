//! Lines of fields in a YAML text. Only to name places: what a text says is read elsewhere.

use saphyr_parser::{Event, Parser};

/// A list or a mapping that is open.
enum Open {
    /// Place of the next element.
    List(usize),
    /// The key whose value comes next, if it was read.
    Mapping(Option<String>),
}

/// Line (from 1) of the field at `path` in a document (from 1); of the nearest field around it, if
/// it is not there. `None` if the document is not found.
pub(super) fn of(text: &str, document: usize, path: &str) -> Option<usize> {
    let wanted = segments(path);
    let mut best: Option<(usize, usize)> = None;
    let mut reached = 0;
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        if matches!(event, Event::DocumentStart(_)) {
            reached += 1;
            if reached > document {
                break;
            }
        }
        let node = matches!(
            event,
            Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
                | Event::Alias(_)
        );
        if node && let Some(Open::Mapping(key @ None)) = open.last_mut() {
            // this is a key; its line is that of the field
            *key = Some(match &event {
                Event::Scalar(text, ..) => text.to_string(),
                _ => String::new(),
            });
            if reached == document {
                consider(&mut best, &open, &wanted, span.start.line());
            }
            if matches!(event, Event::Scalar(..) | Event::Alias(_)) {
                continue;
            }
        } else if node && reached == document {
            consider(&mut best, &open, &wanted, span.start.line());
        }
        match event {
            Event::SequenceStart(..) => open.push(Open::List(0)),
            Event::MappingStart(..) => open.push(Open::Mapping(None)),
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
                step(&mut open);
            }
            Event::Scalar(..) | Event::Alias(_) => step(&mut open),
            _ => {}
        }
    }
    best.map(|(_, line)| line)
}

/// A value ended: the next is another element or a key.
fn step(open: &mut [Open]) {
    match open.last_mut() {
        Some(Open::List(at)) => *at += 1,
        Some(Open::Mapping(key)) => *key = None,
        None => {}
    }
}

/// Takes the line if where we are lies on the way to what is wanted, deeper than any before.
fn consider(best: &mut Option<(usize, usize)>, open: &[Open], wanted: &[String], line: usize) {
    let fits = open.len() <= wanted.len()
        && open.iter().zip(wanted).all(|(here, wanted)| match here {
            Open::List(at) => at.to_string() == *wanted,
            Open::Mapping(key) => key.as_deref() == Some(wanted.as_str()),
        });
    if fits && best.is_none_or(|(depth, _)| open.len() > depth) {
        *best = Some((open.len(), line));
    }
}

/// `a.b[0].c` as a, b, 0, c.
fn segments(path: &str) -> Vec<String> {
    path.split(['.', '[', ']']).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# first\nservice_definition:\n  land: SL\n  ozg_ids:\n    - \"1\"\n    - \"2\"\n\
                        \n---\nservice_version:\n  onlinedienste:\n  - link: x\n    titel: {a: 1}\n  \
                        - link: y\n";

    #[track_caller]
    fn check(document: usize, path: &str, expect: Option<usize>) {
        assert_eq!(of(TEXT, document, path), expect, "{path}");
    }

    #[test]
    fn fields_have_lines() {
        check(1, "service_definition", Some(2));
        check(1, "service_definition.land", Some(3));
        check(1, "service_definition.ozg_ids[1]", Some(6));
        check(2, "service_version.onlinedienste[0].titel.a", Some(12));
        check(2, "service_version.onlinedienste[1].link", Some(13));
        check(3, "service_version", None);
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_is_around() {
        check(1, "service_definition.herausgeber.name", Some(2));
        check(1, "service_definition.ozg_ids[7]", Some(4));
        check(2, "service_version.onlinedienste[1].vertrauensniveau", Some(13));
        check(2, "elsewhere", Some(9));
    }

    #[test]
    fn a_text_that_ends_in_the_middle_has_the_lines_before() {
        assert_eq!(of("a:\n  b: 1\n  c: [\n", 1, "a.b"), Some(2));
        assert_eq!(of("", 1, "a"), None);
    }
}
