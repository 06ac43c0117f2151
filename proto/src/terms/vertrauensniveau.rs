//! How surely a user must be known.

use super::code::code_list;

code_list! {
    /// Vertrauensniveau of an Onlinedienst (`urn:xoev-de:fim:codeliste:vertrauensniveau`). The
    /// list is known by its codes; its official labels are not at hand, so a label is the code
    /// with the name of the list.
    pub enum Vertrauensniveau {
        V00 = "00", "Vertrauensniveau 00";
        V10 = "10", "Vertrauensniveau 10";
        V15 = "15", "Vertrauensniveau 15";
        V20 = "20", "Vertrauensniveau 20";
        V30 = "30", "Vertrauensniveau 30";
        V40 = "40", "Vertrauensniveau 40";
    }
}
