//! The CBOR encoding of Smithy RPC v2.

use std::time::{Duration, UNIX_EPOCH};

use ciborium::Value;

use super::datum::Datum;

/// Decodes the namespace and the data of a request.
pub(super) fn decode(body: &[u8]) -> Result<(String, Vec<Datum>), String> {
    let request: Value = ciborium::from_reader(body).map_err(|error| error.to_string())?;
    let data = array(&request, "MetricData")?.iter().map(datum).collect::<Result<_, _>>()?;
    Ok((text(&request, "Namespace")?, data))
}

fn datum(value: &Value) -> Result<Datum, String> {
    let dimensions = match member(value, "Dimensions") {
        None => &Vec::new(),
        Some(_) => array(value, "Dimensions")?,
    };
    let dimensions =
        dimensions.iter().map(|dimension| Ok((text(dimension, "Name")?, text(dimension, "Value")?)));
    // CBOR tag 1 is a time in seconds since 1970.
    let timestamp = member(value, "Timestamp").and_then(|value| match value {
        Value::Tag(1, seconds) => number(seconds),
        _ => None,
    });
    let seconds = timestamp.ok_or("no Timestamp")?;
    let single = member(value, "Value").and_then(number);
    let values = match single {
        Some(value) => vec![(value, 1.0)],
        None => values(value)?,
    };
    Ok(Datum {
        name: text(value, "MetricName")?,
        dimensions: dimensions.collect::<Result<_, String>>()?,
        unit: text(value, "Unit")?,
        timestamp: UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        storage_resolution: member(value, "StorageResolution").and_then(number).map(|seconds| seconds as u64),
        is_single: single.is_some(),
        values,
    })
}

fn values(value: &Value) -> Result<Vec<(f64, f64)>, String> {
    let numbers = |name| -> Result<Vec<f64>, String> {
        let numbers = array(value, name)?.iter().map(number);
        numbers
            .collect::<Option<_>>()
            .ok_or_else(|| format!("{name} contains something that is not a number"))
    };
    let (values, counts) = (numbers("Values")?, numbers("Counts")?);
    if values.len() != counts.len() {
        return Err(format!("{} values and {} counts", values.len(), counts.len()));
    }
    Ok(values.into_iter().zip(counts).collect())
}

fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

fn text(object: &Value, name: &str) -> Result<String, String> {
    let text = member(object, name).and_then(Value::as_text);
    text.map(str::to_owned).ok_or_else(|| format!("no {name}"))
}

fn array<'a>(object: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    member(object, name).and_then(Value::as_array).ok_or_else(|| format!("no {name}"))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(i128::from(*number) as f64),
        _ => None,
    }
}

/// Encodes a map of strings.
pub(super) fn encode(members: &[(&str, &str)]) -> Vec<u8> {
    let members = members.iter().map(|(name, value)| (Value::from(*name), Value::from(*value)));
    let mut body = Vec::new();
    // Writing to memory cannot fail.
    _ = ciborium::into_writer(&Value::Map(members.collect()), &mut body);
    body
}
