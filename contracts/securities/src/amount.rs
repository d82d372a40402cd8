//! Quantities and amounts as the books keep them: whole minor units, with their rounding rules.
//!
//! A quantity of an issue with `d` decimals is kept in units of `10^-d`, an amount of a currency in
//! its minor units. Both are `u64` and never exceed [`UNITS_MAX`]; products are computed in `u128`.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::decimal::{Decimal, write_units};

/// The most that one balance, one issue or one currency may hold, in minor units: 10^18.
pub const UNITS_MAX: u64 = 1_000_000_000_000_000_000;

/// Minor units together with how many decimals they stand for; shown with exactly that many
/// decimals (`500000.00` for 50,000,000 cents). Views carry it, orders carry [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Amount {
    /// Minor units.
    pub units: u64,
    /// Decimals: the amount is `units / 10^decimals`.
    pub decimals: u8,
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_units(formatter, self.units, self.decimals)
    }
}

/// `units * new / old`, rounded down; `None` if `old` is zero or the result does not fit.
#[must_use]
pub fn scaled(units: u64, new: u32, old: u32) -> Option<u64> {
    let product = u128::from(units).checked_mul(u128::from(new))?;
    u64::try_from(product.checked_div(u128::from(old))?).ok()
}

/// What `units` of an issue with `decimals` receive at `per_unit` for each whole unit, in minor
/// units of a currency that has `minor_units` of them, rounded down; `None` if the result does not
/// fit.
///
/// Exact: `floor(units / 10^decimals * per_unit * 10^minor_units)` with one division at the end.
#[must_use]
pub fn payment(units: u64, decimals: u8, per_unit: Decimal, minor_units: u8) -> Option<u128> {
    // Below 10^36, hence within u128.
    let product = u128::from(units).checked_mul(u128::from(per_unit.digits()))?;
    let divisor_exponent = u32::from(decimals) + u32::from(per_unit.scale());
    let factor_exponent = u32::from(minor_units);
    if divisor_exponent >= factor_exponent {
        product.checked_div(10u128.checked_pow(divisor_exponent - factor_exponent)?)
    } else {
        product.checked_mul(10u128.checked_pow(factor_exponent - divisor_exponent)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn amounts_show_all_their_decimals() {
        for (units, decimals, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (50_000_000, 2, "500000.00"),
            (5, 8, "0.00000005"),
            (UNITS_MAX, 0, "1000000000000000000"),
            (UNITS_MAX, 8, "10000000000.00000000"),
            (u64::MAX, 2, "184467440737095516.15"),
        ] {
            assert_eq!(Amount { units, decimals }.to_string(), text);
        }
    }

    #[test]
    fn payments_round_down_to_the_minor_unit() {
        assert_eq!(payment(1000, 0, decimal("2.65"), 2), Some(265_000));
        assert_eq!(payment(1, 0, decimal("0.009"), 2), Some(0));
        assert_eq!(payment(3, 0, decimal("0.335"), 2), Some(100));
        assert_eq!(payment(150, 2, decimal("1"), 2), Some(150));
        assert_eq!(payment(199, 2, decimal("1"), 0), Some(1));
        assert_eq!(payment(7, 0, decimal("3"), 4), Some(210_000));
        assert_eq!(payment(1, 8, decimal("0.00000000000000001"), 0), Some(0));
    }

    #[test]
    fn payments_at_the_edges_do_not_panic() {
        let most = decimal("999999999999999999");
        assert_eq!(
            payment(UNITS_MAX, 0, most, 0),
            Some(999_999_999_999_999_999_000_000_000_000_000_000)
        );
        assert_eq!(payment(u64::MAX, 0, most, 4), None);
        assert_eq!(payment(0, 8, most, 4), Some(0));
    }

    #[test]
    fn splits_round_down() {
        assert_eq!(scaled(10, 3, 2), Some(15));
        assert_eq!(scaled(11, 3, 2), Some(16));
        assert_eq!(scaled(9, 1, 10), Some(0));
        assert_eq!(scaled(1, 1, 0), None);
        assert_eq!(scaled(u64::MAX, u32::MAX, 1), None);
        assert_eq!(scaled(u64::MAX, u32::MAX, u32::MAX), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn parts_never_receive_more_than_the_whole(
            first in 0..UNITS_MAX / 2, second in 0..UNITS_MAX / 2,
            digits in 0..1_000_000_000_000u64, scale in 0..10u8, decimals in 0..9u8,
            minor_units in 0..5u8,
        ) {
            let per_unit = Decimal::new(digits, scale).unwrap();
            let pay = |units| payment(units, decimals, per_unit, minor_units).unwrap();
            prop_assert!(pay(first) + pay(second) <= pay(first + second));
            prop_assert!(pay(first + second) <= pay(first) + pay(second) + 1);
        }
    }
}
