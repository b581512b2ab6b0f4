//! Log formats: the list of fields that a flow log prints, as `aws ec2 create-flow-logs --log-format` takes it.

use std::str::FromStr;

use super::field::Field;

/// An ordered list of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Field>);

/// Why a log format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Neither a word nor `${field}`.
    #[error("'{0}' is not of the form ${{field}}; write 'default', 'all', or fields like '${{srcaddr}} ${{dstaddr}}'")]
    NotAField(String),
    /// A name that no version has.
    #[error("no flow log field is named '{0}'; `flowlake-agent fields` lists them")]
    Unknown(String),
    /// A field named twice.
    #[error("field '{0}' is named twice")]
    Twice(&'static str),
    /// Names that no header can have.
    #[error("{0}")]
    Unreadable(String),
    /// No field at all.
    #[error("the log format names no field")]
    Empty,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::parse(text)
    }
}

impl Format {
    /// The fields of version 2, AWS's default.
    #[must_use]
    pub fn default_fields() -> Self {
        Self::up_to(2)
    }

    /// The fields of VPC flow logs that a version and those before it brought, in AWS's order.
    #[must_use]
    pub fn up_to(version: u8) -> Self {
        Self(Field::of_vpc().filter(|field| field.info().version <= version).collect())
    }

    /// Every field of VPC flow logs, in AWS's order.
    #[must_use]
    pub fn all_fields() -> Self {
        Self(Field::of_vpc().collect())
    }

    /// The fields of transit gateway flow logs, in the order of their default format.
    #[must_use]
    pub fn transit_gateway() -> Self {
        use Field as F;
        let mut fields = vec![F::Version, F::ResourceType, F::AccountId];
        fields.extend(Field::all().filter(|field| field.name().starts_with("tgw-")));
        fields.extend([
            F::Srcaddr,
            F::Dstaddr,
            F::Srcport,
            F::Dstport,
            F::Protocol,
            F::Packets,
            F::Bytes,
            F::Start,
            F::End,
        ]);
        fields.extend([F::LogStatus, F::Type]);
        fields.extend(Field::all().filter(|field| field.name().starts_with("packets-lost-")));
        fields.extend([F::TcpFlags, F::Region, F::FlowDirection, F::PktSrcAwsService, F::PktDstAwsService]);
        Self(fields)
    }

    /// Reads `default`, `all` or a list such as `${srcaddr} ${dstaddr}`.
    ///
    /// # Errors
    /// [`FormatError`], naming the word that is wrong.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        match text.trim() {
            "default" => return Ok(Self::default_fields()),
            "all" => return Ok(Self::all_fields()),
            _ => {}
        }
        let mut fields = Vec::new();
        for word in text.split_ascii_whitespace() {
            let name = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let name = name.ok_or_else(|| FormatError::NotAField(word.to_owned()))?;
            let field = Field::named(name).ok_or_else(|| FormatError::Unknown(name.to_owned()))?;
            if fields.contains(&field) {
                return Err(FormatError::Twice(field.name()));
            }
            fields.push(field);
        }
        if fields.is_empty() { Err(FormatError::Empty) } else { Ok(Self(fields)) }
    }

    /// The fields, in the order in which they print.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// What `version` prints: the highest version among the fields (AWS VPC User Guide, "Flow log records").
    #[must_use]
    pub fn version(&self) -> u8 {
        self.0.iter().map(|field| field.info().version).max().unwrap_or(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_fourteen_fields_of_version_2() {
        let format = Format::parse("default").unwrap();
        assert_eq!(format.fields().len(), 14);
        assert_eq!(format.version(), 2);
    }

    /// AWS Transit Gateway Flow Logs, "Transit Gateway Flow Log records".
    #[test]
    fn transit_gateways_have_36_fields() {
        let format = Format::transit_gateway();
        assert_eq!((format.fields().len(), format.version()), (36, 6));
    }

    #[test]
    fn one_newer_field_raises_the_version() {
        assert_eq!(Format::parse("${version} ${srcaddr} ${tcp-flags}").unwrap().version(), 3);
        assert_eq!(Format::parse("${pkt-src-aws-service}  ${start}").unwrap().version(), 5);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| Format::parse(text).unwrap_err().to_string();
        assert!(error("srcaddr").starts_with("'srcaddr' is not of the form ${field}"));
        assert!(error("${srcadr}").contains("'srcadr'"));
        assert!(error("${start} ${start}").contains("'start' is named twice"));
        assert!(error(" ").contains("no field"));
    }
}
