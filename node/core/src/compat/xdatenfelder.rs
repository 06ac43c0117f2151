//! Compares data schemas in XDatenfelder 2 and 3: the tree of groups and fields by their ids.

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::{Changes, NOT_COMPARED, Shown};

/// A group or a field at its place in the tree.
#[derive(Debug)]
struct Element<'a> {
    version: &'a str,
    datentyp: &'a str,
    least: u32,
    /// None: any number.
    most: Option<u32>,
    anzahl: &'a str,
}

/// Elements by their path of ids ("G00000001/F00000002").
type Tree<'a> = BTreeMap<String, Element<'a>>;

/// The bytes are no data schema.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("kein UTF-8")]
    Text,
    #[error("kein XML ohne DTD: {0}")]
    Xml(#[source] roxmltree::Error),
    #[error("kein Datenschema: es enthält kein Element struktur")]
    Empty,
    #[error("zu tief geschachtelt oder zu groß")]
    Size,
}

pub(super) fn compare(changes: &mut Changes, path: &str, old: &[u8], new: &[u8]) {
    let new = match parse(new) {
        Ok(new) => new,
        Err(error) => return changes.breaking(path, "DOCUMENT_UNREADABLE", error.to_string()),
    };
    let new = match tree(&new) {
        Ok(new) => new,
        Err(error) => return changes.breaking(path, "DOCUMENT_UNREADABLE", error.to_string()),
    };
    let old = match parse(old) {
        Ok(old) => old,
        Err(error) => return not_compared(changes, path, &error),
    };
    match tree(&old) {
        Ok(old) => trees(changes, path, &old, &new),
        Err(error) => not_compared(changes, path, &error),
    }
}

fn not_compared(changes: &mut Changes, path: &str, error: &ReadError) {
    changes.note(path, NOT_COMPARED, format!("nicht verglichen; bisherige Fassung: {error}"));
}

fn trees(changes: &mut Changes, path: &str, old: &Tree<'_>, new: &Tree<'_>) {
    for (id, before) in old {
        let path = format!("{path}#{id}");
        let Some(after) = new.get(id) else {
            // what stands below a group that is gone is gone with it
            if !parent(id).is_some_and(|up| old.contains_key(up) && !new.contains_key(up)) {
                changes.breaking(&path, "XDF_ELEMENT_REMOVED", "Feld oder Gruppe entfällt");
            }
            continue;
        };
        element(changes, &path, before, after);
    }
    for (id, after) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        if parent(id).is_some_and(|up| new.contains_key(up) && !old.contains_key(up)) {
            continue;
        }
        let path = format!("{path}#{id}");
        if after.least > 0 {
            let text = format!("neu und Pflicht (Anzahl {})", Shown(after.anzahl));
            changes.breaking(&path, "XDF_ELEMENT_REQUIRED_ADDED", text);
        } else {
            changes.compatible(&path, "XDF_ELEMENT_ADDED", "neu, keine Pflicht");
        }
    }
}

fn element(changes: &mut Changes, path: &str, old: &Element<'_>, new: &Element<'_>) {
    let differ = |a: &str, b: &str| format!("bisher {}, jetzt {}", Shown(a), Shown(b));
    if (old.least, old.most) != (new.least, new.most) {
        let text = format!("Anzahl: {}", differ(old.anzahl, new.anzahl));
        let fewer = new.most.is_some_and(|new| old.most.is_none_or(|old| new < old));
        if new.least > old.least || fewer {
            changes.breaking(path, "XDF_ANZAHL_NARROWED", text);
        } else {
            changes.compatible(path, "XDF_ANZAHL_WIDENED", text);
        }
    }
    if old.datentyp != new.datentyp {
        let text = format!("Datentyp: {}", differ(old.datentyp, new.datentyp));
        changes.breaking(path, "XDF_DATENTYP", text);
    }
    if old.version != new.version {
        let text =
            format!("Version: {}; Inhalt nicht verglichen", differ(old.version, new.version));
        changes.note(path, "XDF_ELEMENT_VERSION", text);
    }
}

fn parse(bytes: &[u8]) -> Result<Document<'_>, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    Document::parse_with_options(text, options).map_err(ReadError::Xml)
}

/// The tree of elements, an element that stands twice with a number. Not recursive, so that depth
/// costs no stack.
fn tree<'a>(document: &'a Document<'_>) -> Result<Tree<'a>, ReadError> {
    let mut open: Vec<(Node<'a, '_>, String, usize)> =
        outermost(document.root()).into_iter().map(|node| (node, String::new(), 0)).collect();
    if open.is_empty() {
        return Err(ReadError::Empty);
    }
    open.reverse();
    let mut tree = Tree::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    while let Some((node, above, depth)) = open.pop() {
        if depth > DEPTH_MAX || tree.len() > ELEMENTS_MAX {
            return Err(ReadError::Size);
        }
        let anzahl = child(node, "anzahl").and_then(|it| it.text()).map_or("1:1", str::trim);
        let Some(inner) = child(node, "enthaelt").and_then(|it| {
            it.children().find(|it| is(*it, "datenfeld") || is(*it, "datenfeldgruppe"))
        }) else {
            continue;
        };
        let identity = child(inner, "identifikation");
        let text = |name| identity.and_then(|it| child(it, name)).and_then(|it| it.text());
        let id: String = text("id").unwrap_or_default().trim().chars().take(ID_CHARS_MAX).collect();
        let datentyp = child(inner, "datentyp");
        let code = datentyp.and_then(|it| child(it, "code")).or(datentyp);
        let (least, most) = bounds(anzahl);
        let element = Element {
            version: text("version").unwrap_or_default().trim(),
            datentyp: code.and_then(|it| it.text()).unwrap_or_default().trim(),
            least,
            most,
            anzahl,
        };
        let mut path = if above.is_empty() { id } else { format!("{above}/{id}") };
        let count = seen.entry(path.clone()).or_default();
        *count += 1;
        if *count > 1 {
            path = format!("{path}*{count}");
        }
        let below: Vec<_> = inner.children().filter(|it| is(*it, STRUKTUR)).collect();
        open.extend(below.into_iter().rev().map(|it| (it, path.clone(), depth + 1)));
        tree.insert(path, element);
    }
    Ok(tree)
}

/// Elements `struktur` that stand in no other, in their order.
fn outermost<'a, 'i>(root: Node<'a, 'i>) -> Vec<Node<'a, 'i>> {
    let mut found = Vec::new();
    let mut at = Some(root);
    while let Some(node) = at {
        let entered = is(node, STRUKTUR);
        if entered {
            found.push(node);
        }
        at = node.first_child().filter(|_| !entered).or_else(|| {
            let mut up = Some(node);
            loop {
                let node = up?;
                if let Some(next) = node.next_sibling() {
                    return Some(next);
                }
                up = node.parent();
            }
        });
    }
    found
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

/// "0:1", "1:*".
fn bounds(anzahl: &str) -> (u32, Option<u32>) {
    let (least, most) = anzahl.split_once(':').unwrap_or((anzahl, anzahl));
    (least.trim().parse().unwrap_or(0), most.trim().parse().ok())
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|it| is(*it, name))
}

/// By local name: the namespace holds the version of the standard.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

const STRUKTUR: &str = "struktur";
const ID_CHARS_MAX: usize = 40;
const NODES_MAX: u32 = 500_000;
const ELEMENTS_MAX: usize = 20_000;
const DEPTH_MAX: usize = 64;
