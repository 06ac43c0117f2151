//! The lifecycle of a version: freigegeben, abgekuendigt, abgeschaltet, or zurueckgezogen.

use registry_proto::{
    terms::Date,
    wire::registry::{Lifecycle, VersionStatus},
};

use crate::fold::Position;

/// Where a version stands in its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// State as the owner last said.
    pub lifecycle: Lifecycle,
    /// Day of deprecation.
    pub abkuendigung_am: Option<Date>,
    /// Day of retirement.
    pub abschaltung_am: Option<Date>,
    /// What the owner said last, with its entry; `None` while nothing was said after publication.
    pub last: Option<(Position, VersionStatus)>,
    /// The owner said more, which does not count at this node before an operator has looked.
    pub held: bool,
}

/// States that may follow. An abgekuendigt version may be abgekuendigt again, to move the day of
/// retirement.
pub fn next(from: Lifecycle) -> &'static [Lifecycle] {
    match from {
        Lifecycle::Unspecified | Lifecycle::Entwurf => &[Lifecycle::Freigegeben],
        Lifecycle::Freigegeben => &[Lifecycle::Abgekuendigt, Lifecycle::Zurueckgezogen],
        Lifecycle::Abgekuendigt => {
            &[Lifecycle::Abgekuendigt, Lifecycle::Abgeschaltet, Lifecycle::Zurueckgezogen]
        }
        Lifecycle::Abgeschaltet | Lifecycle::Zurueckgezogen => &[],
    }
}

// === impl Life ===

impl Life {
    /// The life of a version that was published in this state, with these days.
    pub fn new(lifecycle: Lifecycle, abkuendigung_am: &str, abschaltung_am: &str) -> Self {
        Self {
            lifecycle,
            abkuendigung_am: abkuendigung_am.parse().ok(),
            abschaltung_am: abschaltung_am.parse().ok(),
            last: None,
            held: false,
        }
    }

    /// Applies what the owner said next; false if that cannot follow, which changes nothing.
    pub fn apply(&mut self, at: Position, said: VersionStatus) -> bool {
        let to = said.lifecycle();
        if !next(self.lifecycle).contains(&to) {
            return false;
        }
        self.lifecycle = to;
        self.abkuendigung_am = said.abkuendigung_am.parse().ok().or(self.abkuendigung_am);
        self.abschaltung_am = said.abschaltung_am.parse().ok().or(self.abschaltung_am);
        self.last = Some((at, said));
        true
    }

    /// True if users may rely on the version on this day: released, or deprecated and not yet
    /// retired.
    pub fn serves_on(&self, day: Date) -> bool {
        match self.lifecycle {
            Lifecycle::Freigegeben => true,
            Lifecycle::Abgekuendigt => self.abschaltung_am.is_none_or(|end| day < end),
            Lifecycle::Unspecified
            | Lifecycle::Entwurf
            | Lifecycle::Abgeschaltet
            | Lifecycle::Zurueckgezogen => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::{Land, LogId};

    use super::*;

    fn said(lifecycle: Lifecycle, abschaltung_am: &str) -> VersionStatus {
        VersionStatus {
            lifecycle: lifecycle as i32,
            abschaltung_am: abschaltung_am.to_owned(),
            ..VersionStatus::default()
        }
    }

    #[track_caller]
    fn check(moves: &[(Lifecycle, &str)], expect: Lifecycle, end: Option<&str>) {
        let mut life = Life::new(Lifecycle::Freigegeben, "", "");
        for (index, (lifecycle, end)) in (0..).zip(moves) {
            let at = Position { log: LogId { land: Land::SL, epoch: 1 }, index };
            life.apply(at, said(*lifecycle, end));
        }
        let end = end.map(|it| it.parse().expect("a day"));
        assert_eq!((life.lifecycle, life.abschaltung_am), (expect, end), "{moves:?}");
    }

    #[test]
    fn moves_that_may_follow_count_and_others_change_nothing() {
        use Lifecycle::{Abgekuendigt, Abgeschaltet, Freigegeben, Zurueckgezogen};
        let (day, later) = ("2027-05-01", "2027-08-01");
        check(&[], Freigegeben, None);
        check(&[(Abgekuendigt, day)], Abgekuendigt, Some(day));
        check(&[(Abgekuendigt, day), (Abgekuendigt, later)], Abgekuendigt, Some(later));
        check(&[(Abgekuendigt, day), (Abgeschaltet, "")], Abgeschaltet, Some(day));
        check(&[(Abgeschaltet, day)], Freigegeben, None);
        check(&[(Zurueckgezogen, ""), (Abgekuendigt, day)], Zurueckgezogen, None);
        check(&[(Abgekuendigt, day), (Freigegeben, "")], Abgekuendigt, Some(day));
    }

    #[test]
    fn a_deprecated_version_serves_until_the_day_before_its_retirement() {
        let life = Life::new(Lifecycle::Abgekuendigt, "2027-01-01", "2027-05-01");
        assert!(life.serves_on("2027-04-30".parse().expect("a day")));
        assert!(!life.serves_on("2027-05-01".parse().expect("a day")));
    }
}
