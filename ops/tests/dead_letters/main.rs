//! The binary `dead-letters` over moto and the local services.

mod apply;
mod arguments;
mod fixture;
mod interrupted;
mod list;
mod restore;
mod what_if;
