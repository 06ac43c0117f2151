//! `[[clients]]`, `[policy]` and `[limits]`: who may do what, and how much of it.

use registry_core::{
    authorize::{Role, Rule, Who},
    limits,
};

use crate::{
    config::{
        check::{Check, is_dns_name},
        raw::{RawClient, RawLimits},
    },
    policy::{self, Rules},
    serving::Quota,
};

impl Check<'_> {
    /// The simple rules of the configuration, and the file with the others.
    pub(super) fn rules(
        &mut self,
        clients: &[RawClient],
        file: Option<&str>,
        four_eyes: Option<bool>,
    ) -> Rules {
        let four_eyes = four_eyes.unwrap_or(false);
        let clients = clients.iter().enumerate();
        let clients = clients.filter_map(|(at, raw)| self.client(at, raw)).collect();
        let full = file.map(|path| self.path(path));
        if let (Some(path), Some(full)) = (file, &full)
            && let Err(error) = policy::read_policy(full, four_eyes)
        {
            for problem in error.problems {
                self.wrong("policy.file", path, problem);
            }
        }
        Rules { clients, file: full, four_eyes }
    }

    fn client(&mut self, at: usize, raw: &RawClient) -> Option<Rule> {
        let key = |field: &str| format!("clients[{at}].{field}");
        let role = match raw.role.as_deref() {
            None => None,
            Some("reader") => Some(Role::Reader),
            Some("publisher") => Some(Role::Publisher),
            Some("operator") => Some(Role::Operator),
            Some(other) => {
                self.wrong(&key("role"), other, "erwartet reader, publisher oder operator");
                None
            }
        };
        let who = match (raw.san.as_deref(), raw.spki.as_deref()) {
            (Some("*"), None) => Some(Who::Any),
            (Some(name), None) if is_dns_name(name) => Some(Who::Name(name.to_ascii_lowercase())),
            (Some(name), None) => {
                self.wrong(&key("san"), name, "erwartet einen DNS-Namen oder *");
                None
            }
            (None, Some(pin)) => {
                let mut hash = [0; 32];
                let read = hex::decode_to_slice(pin, &mut hash);
                if read.is_err() {
                    let reason =
                        "erwartet 64 Hexadezimalziffern (SHA-256 des öffentlichen Schlüssels)";
                    self.wrong(&key("spki"), pin, reason);
                }
                read.ok().map(|()| Who::Spki(hash))
            }
            (san, _) => {
                let value = if san.is_some() { "beide" } else { "keines" };
                self.wrong(&key("san"), value, "erwartet entweder san oder spki");
                None
            }
        };
        Some(Rule { who: who?, ..Rule::grant(&format!("clients[{at}]"), role?) })
    }

    pub(super) fn limits(&mut self, raw: &RawLimits) -> Option<Quota> {
        let default = Quota::default();
        let per_second = self.count(
            "limits.calls_per_second",
            raw.calls_per_second,
            default.per_second,
            limits::CALLS_PER_SECOND_MAX,
        );
        // whoever sets a rate gets a second of it at once
        let burst = per_second.unwrap_or(default.burst);
        Some(Quota {
            burst: self.count("limits.burst", raw.burst, burst, limits::CALLS_PER_SECOND_MAX)?,
            calls: self.count(
                "limits.concurrent_calls",
                raw.calls,
                default.calls,
                limits::CALLS_AT_ONCE_MAX,
            )?,
            streams: self.count(
                "limits.concurrent_streams",
                raw.streams,
                default.streams,
                limits::CALLS_AT_ONCE_MAX,
            )?,
            per_second: per_second?,
        })
    }

    fn count(&mut self, key: &str, number: Option<i64>, default: u32, most: u32) -> Option<u32> {
        let Some(number) = number else { return Some(default) };
        let count = u32::try_from(number).ok().filter(|it| (1..=most).contains(it));
        if count.is_none() {
            self.wrong(key, number, format_args!("erwartet 1 bis {most}"));
        }
        count
    }
}
