//! Whom a Leistung is for.

use super::code::code_list;

code_list! {
    /// Leistungsadressat as XZuFi has it.
    pub enum Leistungsadressat {
        Buerger = "001", "Bürger";
        Unternehmen = "002", "Unternehmen";
        Verwaltung = "003", "Verwaltung";
    }
}
