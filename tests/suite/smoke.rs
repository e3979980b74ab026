use crate::desk::*;

#[tokio::test]
async fn smoke() {
    let desk = Desk::new().await;
    for id in ["r1", "r2", "r3"] { desk.hold(id) }
    let ran = desk.run(sqs([("m1", expired("r1")), ("m2", approved("r2")), ("m3", failed("r3")), ("m4", "x".into())])).await;
    for line in &ran.log { println!("{line}"); }
    for c in desk.services.calls() { println!("{c:?}"); }
    println!("{}", ran.response);
    assert_eq!(ran.returned(), ["m4"]);
}
