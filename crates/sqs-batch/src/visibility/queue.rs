//! The queue that the records came from.

use aws_sdk_sqs::config::Region;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) url: String,
    /// `None` means the region of the environment.
    pub(super) region: Option<Region>,
}

impl Queue {
    /// The queue at `url` if one is set, otherwise the one that the ARN names.
    pub(super) fn of(url: Option<&str>, arn: Option<&str>) -> Option<Self> {
        let named = arn.and_then(Self::named);
        let Some(url) = url else { return named };
        Some(Self { url: url.to_owned(), region: named.and_then(|queue| queue.region) })
    }

    /// The queue of an ARN `arn:<partition>:sqs:<region>:<account>:<name>`.
    fn named(arn: &str) -> Option<Self> {
        let parts: Vec<_> = arn.split(':').collect();
        let ["arn", partition, "sqs", region, account, name] = parts[..] else { return None };
        let suffix = match partition {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            "aws-iso" => "c2s.ic.gov",
            "aws-iso-b" => "sc2s.sgov.gov",
            "aws-iso-e" => "cloud.adc-e.uk",
            "aws-iso-f" => "csp.hci.ic.gov",
            _ => "amazonaws.com",
        };
        let url = format!("https://sqs.{region}.{suffix}/{account}/{name}");
        Some(Self { url, region: Some(Region::new(region.to_owned())) })
    }
}
