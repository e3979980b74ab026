//! Which queue the records came from.

use aws_config::Region;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) url: String,
    pub(super) region: Region,
}

impl Queue {
    /// `arn:<partition>:sqs:<region>:<account>:<name>`, at `url` where the operator has set one.
    pub(super) fn of(url: Option<&str>, arn: Option<&str>) -> Option<Self> {
        let parts: Vec<_> = arn?.split(':').collect();
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
        let url =
            url.map_or_else(|| format!("https://sqs.{region}.{suffix}/{account}/{name}"), str::to_owned);
        Some(Self { url, region: Region::new(region.to_owned()) })
    }
}
