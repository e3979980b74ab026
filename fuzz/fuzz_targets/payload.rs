#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reservation_worker_fuzz::payload::check(data));
