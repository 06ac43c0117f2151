//! What publishing the records of a directory would change.

use std::collections::{BTreeMap, HashMap};

use registry_proto::{
    terms::SemVer,
    wire::registry::{Record, ServiceDefinition, ServiceVersion, record},
};

use crate::diff::{self, DiffError, FieldChange};

/// What a directory says of one service; numbers are places in the list of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// UUID.
    pub service_id: String,
    /// The definition.
    pub definition: Option<usize>,
    /// The versions, lowest first.
    pub versions: Vec<usize>,
}

/// Two records say the same thing; which one counts cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The one.
    pub first: usize,
    /// The other.
    pub second: usize,
}

/// What stands in the log of one service.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Revision of the service; 0 if there is none.
    pub revision: u64,
    /// Newest definition.
    pub definition: Option<ServiceDefinition>,
    /// Every version; the record of those the directory names as well.
    pub versions: Vec<(String, Option<ServiceVersion>)>,
}

/// What publishing would do to one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// UUID.
    pub service_id: String,
    /// Revision it was decided on.
    pub revision: u64,
    /// The definition, then versions by rising number.
    pub steps: Vec<Step>,
}

/// What publishing would do to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Number of the version; `None` for the definition.
    pub version: Option<String>,
    /// Its place in the list of records; `None` if only the log has it.
    pub record: Option<usize>,
    /// What it is against the log.
    pub state: State,
    /// Fields that differ, if both have it.
    pub changes: Vec<FieldChange>,
}

/// A record against the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not in the log yet.
    New,
    /// A definition that differs: a revision.
    Changed,
    /// The same.
    Unchanged,
    /// A version that differs from what was published under its number; it cannot be published.
    Conflict,
    /// In the log, not in the directory; publishing leaves it alone.
    OnlyInLog,
}

/// The records by service, in the order of their first records, and what stands twice. Records of
/// other kinds are left out.
pub fn group(records: &[Record]) -> (Vec<Wanted>, Vec<Twice>) {
    let mut services: Vec<Wanted> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut versions: HashMap<(&str, &str), usize> = HashMap::new();
    let mut twice = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let service_id = match &record.record {
            Some(record::Record::ServiceDefinition(it)) => it.service_id.as_str(),
            Some(record::Record::ServiceVersion(it)) => it.service_id.as_str(),
            _ => continue,
        };
        let place = *places.entry(service_id).or_insert_with(|| {
            services.push(Wanted { service_id: service_id.to_owned(), ..Wanted::default() });
            services.len() - 1
        });
        let Some(service) = services.get_mut(place) else { continue };
        if let Some(record::Record::ServiceVersion(it)) = &record.record {
            match versions.insert((service_id, it.version.as_str()), at) {
                Some(first) => twice.push(Twice { first, second: at }),
                None => service.versions.push(at),
            }
        } else if let Some(first) = service.definition {
            twice.push(Twice { first, second: at });
        } else {
            service.definition = Some(at);
        }
    }
    for service in &mut services {
        service.versions.sort_by_key(|at| version(records, *at).map(|it| number(&it.version)));
    }
    (services, twice)
}

/// Compares what is wanted of a service with what stands.
///
/// # Errors
///
/// [`DiffError`] if a record cannot be compared.
pub fn plan(records: &[Record], wanted: &Wanted, standing: &Standing) -> Result<Plan, DiffError> {
    let mut steps = Vec::new();
    match (wanted.definition, &standing.definition) {
        (Some(at), Some(stands)) => {
            let changes = match records.get(at).and_then(|it| it.record.as_ref()) {
                Some(record::Record::ServiceDefinition(it)) => {
                    differences("ServiceDefinition", stands, it)?
                }
                _ => Vec::new(),
            };
            let state = if changes.is_empty() { State::Unchanged } else { State::Changed };
            steps.push(Step { version: None, record: Some(at), state, changes });
        }
        (Some(at), None) => steps.push(Step::plain(None, Some(at), State::New)),
        (None, Some(_)) => steps.push(Step::plain(None, None, State::OnlyInLog)),
        (None, None) => {}
    }
    steps.extend(versions(records, wanted, standing)?);
    Ok(Plan { service_id: wanted.service_id.clone(), revision: standing.revision, steps })
}

fn versions(
    records: &[Record],
    wanted: &Wanted,
    standing: &Standing,
) -> Result<Vec<Step>, DiffError> {
    let stands: BTreeMap<&str, &Option<ServiceVersion>> =
        standing.versions.iter().map(|(number, record)| (number.as_str(), record)).collect();
    let mut steps = Vec::new();
    let mut named = Vec::new();
    for at in &wanted.versions {
        let Some(wants) = version(records, *at) else { continue };
        let number = wants.version.as_str();
        named.push(number);
        let step = match stands.get(number) {
            Some(Some(stands)) => {
                let changes = differences("ServiceVersion", stands, wants)?;
                let state = if changes.is_empty() { State::Unchanged } else { State::Conflict };
                Step { version: Some(number.to_owned()), record: Some(*at), state, changes }
            }
            // one whose record was not read counts as new: the node knows better
            Some(None) | None => Step::plain(Some(number), Some(*at), State::New),
        };
        steps.push(step);
    }
    let only = stands.keys().filter(|number| !named.contains(*number));
    steps.extend(only.map(|number| Step::plain(Some(number), None, State::OnlyInLog)));
    steps.sort_by_key(|it| number(it.version.as_deref().unwrap_or_default()));
    Ok(steps)
}

fn differences<M: prost::Message>(
    name: &str,
    old: &M,
    new: &M,
) -> Result<Vec<FieldChange>, DiffError> {
    Ok(diff::diff(&diff::dynamic(name, old)?, &diff::dynamic(name, new)?))
}

fn version(records: &[Record], at: usize) -> Option<&ServiceVersion> {
    match records.get(at)?.record.as_ref()? {
        record::Record::ServiceVersion(it) => Some(it),
        _ => None,
    }
}

/// What versions are ordered by; those of no form the node knows come last.
fn number(text: &str) -> (bool, Option<SemVer>, String) {
    match text.parse::<SemVer>() {
        Ok(number) => (false, Some(number), String::new()),
        Err(_) => (true, None, text.to_owned()),
    }
}

// === impl Plan ===

impl Plan {
    /// Places of the records that are to be published, in the order to publish them.
    pub fn to_publish(&self) -> Vec<usize> {
        let new = |it: &&Step| matches!(it.state, State::New | State::Changed);
        self.steps.iter().filter(new).filter_map(|it| it.record).collect()
    }

    /// Versions that cannot be published.
    pub fn conflicts(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|it| it.state == State::Conflict)
    }

    /// True if the directory says something else than the log.
    pub fn differs(&self) -> bool {
        self.steps.iter().any(|it| it.state != State::Unchanged)
    }
}

// === impl Step ===

impl Step {
    fn plain(version: Option<&str>, record: Option<usize>, state: State) -> Self {
        Self { version: version.map(str::to_owned), record, state, changes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(service_id: &str, themenfeld: &str) -> ServiceDefinition {
        ServiceDefinition {
            service_id: service_id.to_owned(),
            themenfeld: themenfeld.to_owned(),
            ..ServiceDefinition::default()
        }
    }

    fn release(service_id: &str, number: &str, lizenz: &str) -> ServiceVersion {
        ServiceVersion {
            service_id: service_id.to_owned(),
            version: number.to_owned(),
            lizenz: lizenz.to_owned(),
            ..ServiceVersion::default()
        }
    }

    fn defines(service_id: &str, themenfeld: &str) -> Record {
        let it = record::Record::ServiceDefinition(definition(service_id, themenfeld));
        Record { record: Some(it), expected_revision: None }
    }

    fn releases(service_id: &str, number: &str, lizenz: &str) -> Record {
        let it = record::Record::ServiceVersion(release(service_id, number, lizenz));
        Record { record: Some(it), expected_revision: None }
    }

    #[test]
    fn records_are_grouped_by_service_and_versions_rise() {
        let records = [
            releases("b", "1.10.0", ""),
            defines("a", ""),
            releases("b", "1.9.0", ""),
            releases("b", "krumm", ""),
            defines("b", ""),
            releases("a", "1.0.0", ""),
        ];
        let (services, twice) = group(&records);
        assert_eq!(twice, []);
        let found: Vec<_> = services
            .iter()
            .map(|it| (it.service_id.as_str(), it.definition, it.versions.clone()))
            .collect();
        assert_eq!(found, [("b", Some(4), vec![2, 0, 3]), ("a", Some(1), vec![5])]);
    }

    #[test]
    fn what_stands_twice_is_named() {
        let records = [
            defines("a", ""),
            releases("a", "1.0.0", ""),
            defines("a", "x"),
            releases("a", "1.0.0", ""),
        ];
        let (services, twice) = group(&records);
        assert_eq!(services.len(), 1);
        assert_eq!(twice, [Twice { first: 0, second: 2 }, Twice { first: 1, second: 3 }].to_vec());
    }

    /// The steps as lines, and what is published.
    #[track_caller]
    fn check(records: &[Record], standing: &Standing, expect: &[&str], publish: &[usize]) {
        let (services, _) = group(records);
        let [wanted] = services.as_slice() else { panic!("one service") };
        let plan = plan(records, wanted, standing).expect("comparable");
        let lines: Vec<String> = plan
            .steps
            .iter()
            .map(|it| {
                let what = it.version.as_deref().unwrap_or("definition");
                let paths: Vec<_> = it.changes.iter().map(|it| it.path.as_str()).collect();
                format!("{what} {:?} {}", it.state, paths.join(",")).trim_end().to_owned()
            })
            .collect();
        assert_eq!(lines, expect);
        assert_eq!(plan.to_publish(), publish);
        let conflict = lines.iter().any(|it| it.contains("Conflict"));
        assert_eq!(plan.conflicts().count() > 0, conflict);
        assert_eq!(plan.differs(), lines.iter().any(|it| !it.contains("Unchanged")));
    }

    #[test]
    fn a_new_service_is_published_whole() {
        let records = [releases("a", "1.0.0", "x"), defines("a", "umwelt")];
        check(&records, &Standing::default(), &["definition New", "1.0.0 New"], &[1, 0]);
    }

    #[test]
    fn what_stands_is_not_published_again() {
        let records = [defines("a", "umwelt"), releases("a", "1.0.0", "x")];
        let standing = Standing {
            revision: 2,
            definition: Some(definition("a", "umwelt")),
            versions: vec![("1.0.0".to_owned(), Some(release("a", "1.0.0", "x")))],
        };
        check(&records, &standing, &["definition Unchanged", "1.0.0 Unchanged"], &[]);
    }

    #[test]
    fn each_record_is_compared_with_what_stands() {
        let records =
            [defines("a", "umwelt"), releases("a", "1.0.0", "y"), releases("a", "1.10.0", "x")];
        let standing = Standing {
            revision: 3,
            definition: Some(definition("a", "bildung")),
            versions: vec![
                ("1.9.0".to_owned(), None),
                ("1.0.0".to_owned(), Some(release("a", "1.0.0", "x"))),
            ],
        };
        let expect = [
            "definition Changed themenfeld",
            "1.0.0 Conflict lizenz",
            "1.9.0 OnlyInLog",
            "1.10.0 New",
        ];
        check(&records, &standing, &expect, &[0, 2]);
        let versions_only = [releases("a", "1.10.0", "x")];
        let expect = ["definition OnlyInLog", "1.0.0 OnlyInLog", "1.9.0 OnlyInLog", "1.10.0 New"];
        check(&versions_only, &standing, &expect, &[0]);
    }
}
