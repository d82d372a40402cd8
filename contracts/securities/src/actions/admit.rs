//! Admit a member.
//!
//! What it is: a certificate, already verified by the caller of this crate, becomes a member that
//! can give orders. It is not an [`Instruction`](crate::Instruction), because it carries what the
//! caller read from the certificate and not what a member wrote.
//!
//! What it checks: the role's permission (`not-permitted`); the remembered reference (`duplicate`);
//! that name and certificate are free (`taken`). Before the first block nobody has to permit it:
//! genesis names the first members.
//!
//! What it changes: one row among the members.

use crate::authority::{Action, Authority};
use crate::events::Done;
use crate::member::NewMember;
use crate::outcome::{Code, Outcome, Status};
use crate::rows::{Happened, MemberId};
use crate::state::State;
use crate::text::ClientReference;

impl State {
    /// Makes `new` a member. `caller` is `None` only in genesis, before the first block. `order` is
    /// the reference and content digest under which an accepted admission is remembered for its
    /// caller.
    pub fn admit(
        &mut self,
        caller: Option<MemberId>,
        authority: &dyn Authority,
        new: NewMember,
        order: Option<(&ClientReference, [u8; 32])>,
    ) -> Outcome {
        self.count_order();
        match self.attempt_admission(caller, authority, new, order) {
            Ok(status) => Outcome::accepted(status),
            Err(code) => Outcome::refused(code),
        }
    }

    /// Makes `new` a member because the network's members decided so. Nobody's permission is asked: that was done
    /// when they decided.
    pub fn admit_decided(&mut self, new: NewMember) -> Outcome {
        self.count_order();
        match self.enter(new) {
            Ok(()) => Outcome::SETTLED,
            Err(code) => Outcome::refused(code),
        }
    }

    fn attempt_admission(
        &mut self,
        caller: Option<MemberId>,
        authority: &dyn Authority,
        new: NewMember,
        order: Option<(&ClientReference, [u8; 32])>,
    ) -> Result<Status, Code> {
        match caller {
            Some(member) => self.check_role(member, authority, Action::AdmitMember)?,
            None if self.height() == 0 => {}
            None => return Err(Code::NotPermitted),
        }
        if let (Some(member), Some((reference, content))) = (caller, order)
            && let Some(status) = self.remembered(member, reference, content)?
        {
            return Ok(status);
        }
        self.enter(new)?;
        if let (Some(member), Some((reference, content))) = (caller, order) {
            let own = Done::settled(Happened::Own);
            self.remember((member, *reference), content, Action::AdmitMember, own);
        }
        Ok(Status::Settled)
    }

    fn enter(&mut self, new: NewMember) -> Result<(), Code> {
        self.check_room()?;
        if self.lookups.members_by_name.contains_key(&new.name)
            || self
                .lookups
                .members_by_certificate
                .contains_key(&new.certificate)
        {
            return Err(Code::Taken);
        }
        let (name, certificate) = (new.name, new.certificate);
        let id = self.members.push(new.into());
        self.lookups.members_by_name.insert(name, id);
        self.lookups.members_by_certificate.insert(certificate, id);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::world::{Permissions, World, refused};
    use crate::{ClientReference, Code, NewMember, Outcome, Role};

    fn new(name: &str, certificate: u8) -> NewMember {
        NewMember::parse(name, "firm", "New", None, [certificate; 32], [9; 32]).unwrap()
    }

    #[test]
    fn an_admin_admits_and_others_do_not() {
        let mut world = World::new();
        world.next_block();
        let (admin, alpha) = (world.id("admin"), world.id("alpha"));
        let rules = (Permissions(Role::Admin), Permissions(Role::Firm));
        let state = &mut world.state;
        assert_eq!(
            state.admit(Some(alpha), &rules.1, new("n", 50), None),
            refused(Code::NotPermitted)
        );
        assert_eq!(
            state.admit(None, &rules.0, new("n", 50), None),
            refused(Code::NotPermitted)
        );
        assert_eq!(
            state.admit(Some(admin), &rules.0, new("n", 50), None),
            Outcome::SETTLED
        );
        let (id, member) = state.member_by_certificate(&[50; 32]).unwrap();
        assert_eq!((member.name.as_str(), member.role), ("n", Role::Firm));
        assert_eq!(state.member_by_name(&member.name).unwrap().0, id);
    }

    #[test]
    fn what_was_decided_needs_no_permission_and_keeps_the_other_rules() {
        let mut world = World::new();
        world.next_block();
        let state = &mut world.state;
        assert_eq!(state.admit_decided(new("alpha", 50)), refused(Code::Taken));
        assert_eq!(state.admit_decided(new("n", 2)), refused(Code::Taken));
        assert_eq!(state.admit_decided(new("n", 50)), Outcome::SETTLED);
        assert!(state.member_by_certificate(&[50; 32]).is_some());
    }

    #[test]
    fn names_and_certificates_are_unique() {
        let mut world = World::new();
        let admin = world.id("admin");
        let rules = Permissions(Role::Admin);
        let mut admit = |new| world.state.admit(Some(admin), &rules, new, None);
        assert_eq!(admit(new("alpha", 50)), refused(Code::Taken));
        assert_eq!(admit(new("n", 2)), refused(Code::Taken));
        assert_eq!(admit(new("n", 50)), Outcome::SETTLED);
        assert_eq!(admit(new("n", 50)), refused(Code::Taken));
    }

    #[test]
    fn an_accepted_admission_is_remembered() {
        let mut world = World::new();
        let admin = world.id("admin");
        let rules = Permissions(Role::Admin);
        let reference = ClientReference::new("~1").unwrap();
        let mut admit = |new, digest| {
            world
                .state
                .admit(Some(admin), &rules, new, Some((&reference, digest)))
        };
        assert_eq!(admit(new("alpha", 50), [0; 32]), refused(Code::Taken));
        assert_eq!(admit(new("n", 50), [1; 32]), Outcome::SETTLED);
        assert_eq!(admit(new("n", 50), [1; 32]), Outcome::SETTLED);
        assert_eq!(admit(new("m", 51), [2; 32]), refused(Code::Duplicate));
        assert_eq!(world.state.members().count(), 11);
    }
}
