//! What is wrong, said to operators: the German sentence of errors whose own text, for logs, is
//! English.

use std::fmt::{self, Display, Formatter};

use crate::{
    charter::{
        CHARTER_BYTES_MAX, CharterError, CharterProblem, DECISION_BYTES_MAX, DECISION_VOTES_MAX,
        DecisionError, FORMER_KEYS_MAX, MEMBER_NODES_MAX, MEMBERS_MAX, NAME_CHARS_MAX,
        SUCCESSOR_BYTES_MAX, SuccessorProblem, TRUST_MAX, VoteUnproved,
    },
    epoch::{EPOCHS_MAX, ResetError},
    evidence::EvidenceError,
    log::CheckpointError,
    terms::Land,
};

/// An error whose text is German. It has no source: the text says all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct German<E>(pub E);

impl<E: fmt::Debug> std::error::Error for German<E> where Self: Display {}

// === impl German ===

impl Display for German<CharterError> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // of what cannot be read nothing else is said
        if let [it @ (CharterProblem::Undecodable | CharterProblem::TooLong { .. })] =
            &self.0.problems[..]
        {
            return problem(it, f);
        }
        f.write_str("die Charta verletzt ihre Regeln: ")?;
        for (at, it) in self.0.problems.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            problem(it, f)?;
        }
        Ok(())
    }
}

impl Display for German<CharterProblem> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        problem(&self.0, f)
    }
}

impl Display for German<DecisionError> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DecisionError::Number { found, expected } => {
                write!(f, "er handelt von Charta {found}, erwartet {expected}")
            }
            DecisionError::NoCharter => {
                f.write_str("die Charta, von der er handelt, ist nicht dabei oder folgt auf keine")
            }
            DecisionError::Undecodable => f.write_str("die Bytes sind kein Beweis"),
            DecisionError::Twice => f.write_str("zu dieser Charta liegt mehr als ein Beweis bei"),
            DecisionError::TooLong => {
                write!(f, "höchstens {DECISION_BYTES_MAX} Byte und {DECISION_VOTES_MAX} Stimmen")
            }
            DecisionError::VotesTwice { land, round } => {
                write!(f, "{land} ist in Runde {round} mehr als einmal dabei")
            }
            DecisionError::Vote { at, source } => {
                write!(f, "Stimme {at} ist nicht bewiesen: ")?;
                unproved(source, f)
            }
            DecisionError::Undecided => {
                f.write_str("die Stimmen in ihm beschließen diese Charta nicht")
            }
        }
    }
}

impl Display for German<ResetError> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ResetError::TooLong { found } => {
                write!(f, "die Datei ist für eine Zurücksetzung zu groß ({found} Byte)")
            }
            ResetError::Undecodable => f.write_str("die Datei ist keine Zurücksetzung"),
            ResetError::Field { field, .. } => write!(f, "{field} hat nicht die verlangte Form"),
            ResetError::OtherReset(land) => {
                write!(f, "{land} hat einer anderen Zurücksetzung zugestimmt")
            }
            ResetError::Twice(land) => write!(f, "{land} hat zweimal zugestimmt"),
            ResetError::Different => {
                f.write_str("für diese Epoche gibt es schon eine andere Zurücksetzung")
            }
            ResetError::NoMember(land) => write!(
                f,
                "{land} kann das nicht unterschreiben: es ist kein Mitglied, oder das Protokoll ist \
                 sein eigenes"
            ),
            ResetError::Statement { by, .. } => write!(
                f,
                "die Unterschrift von {by} gilt nicht: sie ist mit einem anderen Schlüssel als dem \
                 der Charta gemacht, für einen anderen Verbund, oder beschädigt"
            ),
            ResetError::Missing { missing } => write!(f, "es fehlen noch {missing} Zustimmungen"),
            ResetError::OtherListed { listed } => write!(
                f,
                "die geltende Charta führt für diese Epoche eine andere Zurücksetzung auf: {listed}"
            ),
            ResetError::Unsigned => f.write_str("der Schlüssel dieses Landes signiert nicht"),
        }
    }
}

impl Display for German<EvidenceError> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            EvidenceError::TooLong { found } => {
                write!(f, "die Datei ist für einen Beweis zu groß ({found} Byte)")
            }
            EvidenceError::Undecodable => f.write_str("die Datei ist kein Beweis"),
            EvidenceError::Format { found } => {
                write!(f, "das Format {found} kennt nur eine neuere Software")
            }
            EvidenceError::OtherVerbund => f.write_str("er gehört zu einem anderen Verbund"),
            EvidenceError::NoMember { found } => {
                write!(f, "{found:?} ist kein Mitglied nach dieser Charta")
            }
            EvidenceError::OtherLog { expected } => write!(f, "er handelt nicht von {expected}"),
            EvidenceError::Checkpoint { which, source: CheckpointError::UnknownKey { .. } } => {
                write!(
                    f,
                    "der Prüfpunkt {which} ist mit einem Schlüssel unterschrieben, den die Charta nicht \
                     nennt"
                )
            }
            EvidenceError::Checkpoint { which, .. } => {
                write!(f, "der Prüfpunkt {which} trägt nicht die Unterschriften seines Landes")
            }
            EvidenceError::Order { older, newer } => {
                write!(f, "der ältere Prüfpunkt hat {older} Einträge und der neuere nur {newer}")
            }
            EvidenceError::Hashes { field } => {
                write!(f, "{field} hat nicht die verlangte Form")
            }
            EvidenceError::Proof(_) => {
                f.write_str("der Weg zwischen den beiden Prüfpunkten führt nicht zum neueren")
            }
            EvidenceError::Consistent => {
                f.write_str("die beiden Prüfpunkte widersprechen sich nicht")
            }
        }
    }
}

fn unproved(it: &VoteUnproved, f: &mut Formatter<'_>) -> fmt::Result {
    match it {
        VoteUnproved::Header(_) => f.write_str("der Kopf des Eintrags ist nicht lesbar"),
        VoteUnproved::Foreign => {
            f.write_str("der Eintrag ist keine Stimme über eine Charta dieses Verbunds")
        }
        VoteUnproved::NoVoter(land) => {
            write!(f, "{land} hat nach der Charta davor keine Stimme")
        }
        VoteUnproved::Choice => f.write_str("die Charta, für die sie ist, liegt nicht bei"),
        VoteUnproved::Body => f.write_str("der Inhalt ist nicht der, den der Eintrag nennt"),
        VoteUnproved::Vote(_) => f.write_str("der Inhalt ist keine Stimme"),
        VoteUnproved::Checkpoint(_) => f.write_str(
            "der Prüfpunkt ihres Protokolls trägt nicht die Unterschriften, die nach der Charta davor \
             gelten",
        ),
        VoteUnproved::Inclusion(_) => {
            f.write_str("der Weg führt nicht vom Eintrag zum Prüfpunkt seines Protokolls")
        }
        VoteUnproved::Hash => f.write_str("ein Hash auf dem Weg hat keine 32 Byte"),
    }
}

fn problem(it: &CharterProblem, f: &mut Formatter<'_>) -> fmt::Result {
    use CharterProblem as P;
    match it {
        P::TooLong { found } => {
            write!(f, "eine Charta hat höchstens {CHARTER_BYTES_MAX} Byte, gefunden {found}")
        }
        P::Undecodable => f.write_str("die Bytes sind keine Charta"),
        P::FormatLevel { found } => write!(f, "format_level ist {found}, erwartet 1"),
        P::Number { found } => {
            write!(f, "die Nummer ist {found}, erwartet 0 (die Gründungscharta)")
        }
        P::Name => write!(f, "der Name hat 1 bis {NAME_CHARS_MAX} Zeichen, keine Steuerzeichen"),
        P::MemberCount { found } => {
            write!(f, "erwartet 1 bis {MEMBERS_MAX} Mitglieder, gefunden {found}")
        }
        P::Threshold { found, least, members } => write!(
            f,
            "die Schwelle ist {found}, erwartet {least} bis {members}: mehr als zwei Drittel der \
             Mitglieder"
        ),
        P::NoVoter => f.write_str("kein Mitglied dürfte noch abstimmen"),
        P::NotInGenesis { field } => write!(f, "{field} steht nur in späteren Chartas"),
        P::Successor(it) => successor(it, f),
        it => of_member(it, f),
    }
}

/// What is wrong with one member.
fn of_member(it: &CharterProblem, f: &mut Formatter<'_>) -> fmt::Result {
    use CharterProblem as P;
    match it {
        P::State { member, found } => {
            write!(f, "members[{member}].state: {found} ist nicht bekannt")
        }
        P::Cut { member, field } => write!(
            f,
            "members[{member}].{field}: erwartet Epoche, Größe und Wurzel mit 32 Byte, oder nichts"
        ),
        P::FormerKeys { member } => write!(
            f,
            "members[{member}].former_keys: höchstens {FORMER_KEYS_MAX}, mit Stellen, die aufsteigen"
        ),
        P::EpochResets { member } => write!(
            f,
            "members[{member}].epoch_resets: erwartet Prüfsummen mit 32 Byte, weniger als {EPOCHS_MAX}"
        ),
        P::RemovedSpeaks { member } => write!(
            f,
            "members[{member}]: wer ausgeschieden ist, hat weder Knoten noch Vertrauensanker"
        ),
        P::Land { member, .. } => {
            let known = Land::ALL.map(Land::code).join(" ");
            write!(f, "members[{member}].land: so heißt kein Land; bekannt sind {known}")
        }
        P::LandOrder { member, land, before } => {
            write!(f, "members[{member}].land: {land} muss vor {before} stehen, und nur einmal")
        }
        P::Key { member, field } => {
            write!(f, "members[{member}].{field}: kein öffentlicher Ed25519-Schlüssel (32 Byte)")
        }
        P::KeyTwice { member, field } => {
            write!(f, "members[{member}].{field}: dieser Schlüssel steht schon in der Charta")
        }
        P::NodeCount { member, found } => write!(
            f,
            "members[{member}].nodes: erwartet 1 bis {MEMBER_NODES_MAX}, gefunden {found}"
        ),
        P::NodeName { member, node } => {
            write!(f, "members[{member}].nodes[{node}].name: kein DNS-Name in Kleinbuchstaben")
        }
        P::NodeNameTwice { member, node, name } => {
            write!(f, "members[{member}].nodes[{node}].name: {name} steht schon in der Charta")
        }
        P::PinCount { member, node, found } => write!(
            f,
            "members[{member}].nodes[{node}].spki_pins: höchstens {TRUST_MAX}, gefunden {found}"
        ),
        P::Pin { member, node, pin, found } => write!(
            f,
            "members[{member}].nodes[{node}].spki_pins[{pin}]: erwartet 32 Byte, gefunden {found}"
        ),
        P::PinOfOther { member, node, pin } => write!(
            f,
            "members[{member}].nodes[{node}].spki_pins[{pin}]: diesen Pin hat ein anderes Mitglied"
        ),
        P::NoTrust { member, node } => write!(
            f,
            "members[{member}].nodes[{node}]: weder ein Pin noch ein Vertrauensanker des Mitglieds"
        ),
        P::AnchorCount { member, found } => {
            write!(f, "members[{member}].anchors: höchstens {TRUST_MAX}, gefunden {found}")
        }
        P::AnchorEmpty { member, anchor } => {
            write!(f, "members[{member}].anchors[{anchor}]: leer")
        }
        // said above
        other => write!(f, "{other}"),
    }
}

fn successor(it: &SuccessorProblem, f: &mut Formatter<'_>) -> fmt::Result {
    use SuccessorProblem as P;
    match it {
        P::TooLong { found } => write!(
            f,
            "eine Charta, über die abgestimmt wird, hat höchstens {SUCCESSOR_BYTES_MAX} Byte, \
             gefunden {found}"
        ),
        P::Number { found, expected } => {
            write!(f, "die Nummer ist {found}, erwartet {expected}")
        }
        P::Predecessor => f.write_str("sie folgt nicht der geltenden Charta"),
        P::Fixed(what) => write!(f, "{what} ändert sich nie"),
        P::Unchanged => f.write_str("sie ändert nichts"),
        P::Vanished(land) => {
            write!(f, "{land} fehlt; wer geht, bleibt als ausgeschieden in der Liste")
        }
        P::NewWithPast(land) => write!(
            f,
            "{land} ist neu und kann weder ruhen noch ausgeschieden sein noch frühere Schlüssel oder \
             beendete Epochen haben"
        ),
        P::CutMoved(land) => write!(
            f,
            "{land} ruht oder ist ausgeschieden; die Stelle, bis zu der sein Protokoll zählt, bleibt, \
             bis es wieder teilnimmt"
        ),
        P::FormerKeys(land) => write!(
            f,
            "{land}: former_keys müssen die von vorher sein und, wenn ein Schlüssel des Protokolls \
             wechselt, einer mehr mit den bisherigen Schlüsseln"
        ),
        P::ResetsChanged(land) => write!(
            f,
            "{land}: Zurücksetzungen, die eine Charta aufführt, bleiben in der nächsten, in derselben \
             Reihenfolge"
        ),
        P::KeyComesBack(land) => {
            write!(f, "{land}: ein ersetzter Schlüssel kommt nicht zurück")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_german_and_all_of_it() {
        let problems = vec![
            CharterProblem::Name,
            CharterProblem::Threshold { found: 1, least: 3, members: 4 },
            CharterProblem::NodeName { member: 2, node: 0 },
            SuccessorProblem::Unchanged.into(),
        ];
        let text = German(CharterError { problems }).to_string();
        assert_eq!(
            text,
            "die Charta verletzt ihre Regeln: der Name hat 1 bis 200 Zeichen, keine Steuerzeichen; \
             die Schwelle ist 1, erwartet 3 bis 4: mehr als zwei Drittel der Mitglieder; \
             members[2].nodes[0].name: kein DNS-Name in Kleinbuchstaben; sie ändert nichts"
        );
        let problem = CharterProblem::Undecodable;
        assert_eq!(German(problem.clone()).to_string(), "die Bytes sind keine Charta");
        let text = German(CharterError::from(problem)).to_string();
        assert_eq!(text, "die Bytes sind keine Charta");
        let text = German(ResetError::Twice(Land::HE)).to_string();
        assert_eq!(text, "HE hat zweimal zugestimmt");
        let source = VoteUnproved::NoVoter(Land::HE);
        let text = German(DecisionError::Vote { at: 2, source }).to_string();
        assert_eq!(text, "Stimme 2 ist nicht bewiesen: HE hat nach der Charta davor keine Stimme");
        let text = German(EvidenceError::Consistent).to_string();
        assert_eq!(text, "die beiden Prüfpunkte widersprechen sich nicht");
    }
}
