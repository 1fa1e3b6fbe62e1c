//! A password's hash as a `text` column.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::domain::PasswordHash;

impl Type<Postgres> for PasswordHash {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(info: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(info)
    }
}

impl Encode<'_, Postgres> for PasswordHash {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode(self.expose(), buffer)
    }
}

impl Decode<'_, Postgres> for PasswordHash {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        <String as Decode<Postgres>>::decode(value).map(Self::new)
    }
}
