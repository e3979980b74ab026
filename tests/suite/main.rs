//! Whole batches in, responses out, against real servers on loopback.

mod desk;

mod smoke;
