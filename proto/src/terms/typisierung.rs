//! Who makes the rules for a Leistung and who carries them out.

use super::code::code_list;

code_list! {
    /// Typisierung of a Leistung (`urn:de:fim:leika:typisierung`).
    pub enum Typisierung {
        T1 = "1", "Bund regelt und vollzieht";
        T2 = "2", "Typ 2";
        T2a = "2a", "Typ 2, Vollzug beim Land";
        T2b = "2b", "Typ 2, Vollzug bei der Kommune";
        T3 = "3", "Typ 3";
        T3a = "3a", "Typ 3, Vollzug beim Land";
        T3b = "3b", "Typ 3, Vollzug bei der Kommune";
        T2u3 = "2/3", "Bund regelt, Land oder Kommune vollzieht";
        T2u3a = "2/3a", "Bund regelt, Land vollzieht";
        T2u3b = "2/3b", "Bund regelt, Kommune vollzieht";
        T4 = "4", "Landesrecht";
        T4a = "4a", "Landesrecht, Vollzug beim Land";
        T4b = "4b", "Landesrecht, Vollzug bei der Kommune";
        T5 = "5", "Kommunales Recht";
        T6 = "6", "Hinweise";
        T7 = "7", "Service-Rufnummern";
        T8 = "8", "Typ 8";
        T9 = "9", "Typ 9";
        T10 = "10", "Verwaltungsintern";
        T11 = "11", "SDG (Typ 11)";
        T12 = "12", "SDG (Typ 12)";
    }
}

impl Typisierung {
    /// Whether "Einer für Alle" can apply: 2/3, 4 and 5.
    pub const fn is_efa_relevant(self) -> bool {
        matches!(
            self,
            Self::T2u3 | Self::T2u3a | Self::T2u3b | Self::T4 | Self::T4a | Self::T4b | Self::T5
        )
    }
}
