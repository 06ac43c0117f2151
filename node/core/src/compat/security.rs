//! Compares what an operation asks of its callers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{document::Place, operation::Sides, schema::Comparison};

/// One way in: scopes by the name of the scheme. Without any scheme: for everybody.
type Way<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Every way in that worked must still work.
pub(super) fn compare(comparison: &mut Comparison<'_>, operation: &Sides<Place<'_>>) {
    let roots = Sides { old: operation.old.document.root(), new: operation.new.document.root() };
    let old = ways(&roots.old, &operation.old);
    let new = ways(&roots.new, &operation.new);
    let path = comparison.path(&operation.new.below("security"));
    for way in &old {
        let works = |new: &Way<'_>| {
            new.iter()
                .all(|(name, scopes)| way.get(name).is_some_and(|held| scopes.is_subset(held)))
        };
        if !new.iter().any(works) {
            let was = if way.is_empty() { "ohne Anmeldung".to_owned() } else { named(way) };
            let text = format!("der Zugang genügt nicht mehr: {}", super::Shown(&was));
            comparison.changes().breaking(&path, "SECURITY_NARROWED", text);
        }
    }
    for name in old.iter().flat_map(BTreeMap::keys) {
        let scheme = |root: &Place<'_>| -> Option<Vec<Option<Value>>> {
            let place = root.get("components")?.get("securitySchemes")?.get(name)?.target()?;
            Some(DECISIVE.iter().map(|key| place.value.get(key).cloned()).collect())
        };
        let (was, is) = (scheme(&roots.old), scheme(&roots.new));
        if was.is_some() && is.is_some() && was != is {
            let path = comparison.path("#/components/securitySchemes");
            let text = format!("das Verfahren {} ist ein anderes", super::Shown(name));
            comparison.changes().breaking(&path, "SECURITY_SCHEME_CHANGED", text);
        }
    }
}

/// The ways in, of the operation or of the whole document.
fn ways<'a>(root: &Place<'a>, operation: &Place<'a>) -> Vec<Way<'a>> {
    let list = operation.get("security").or_else(|| root.get("security"));
    let list: Vec<_> =
        list.iter().flat_map(|it| it.items().take(WAYS_MAX).collect::<Vec<_>>()).collect();
    if list.is_empty() {
        return vec![Way::new()];
    }
    let scopes = |it: &Place<'a>| -> BTreeSet<&'a str> {
        it.value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    list.iter().map(|way| way.members().map(|(name, it)| (name, scopes(&it))).collect()).collect()
}

fn named(way: &Way<'_>) -> String {
    let text = |(name, scopes): (&&str, &BTreeSet<&str>)| {
        if scopes.is_empty() {
            (*name).to_owned()
        } else {
            let scopes: Vec<&str> = scopes.iter().copied().collect();
            format!("{name} ({})", scopes.join(", "))
        }
    };
    way.iter().map(text).collect::<Vec<_>>().join(" und ")
}

const WAYS_MAX: usize = 100;
const DECISIVE: [&str; 5] = ["type", "scheme", "in", "name", "openIdConnectUrl"];
