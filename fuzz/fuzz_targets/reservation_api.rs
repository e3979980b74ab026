#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reservation_worker_fuzz::reservation_api::check(data));
