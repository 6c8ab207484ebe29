//! simulators.
