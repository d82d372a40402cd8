//! 10 and 11: who wants keys that are not for it, and who gives false shares of them.

use std::fs;

use sealbook_execution::custody::{ModuleKey, first_recipients, make_record};
use sealbook_execution::recovery::contribute;
use sealbook_governance::Change;
use sealbook_ledger::{KeyRecord, RootFile};
use sealbook_primitives::secret::Secret32;
use sealbook_protocol::frame::{self, MODULE_FRAME_MAX};
use sealbook_protocol::module::{FromModule, ToModule};

use crate::kit::module::{Module, command, ended};
use crate::kit::modules::{Modules, founded, with_shares};

/// Gives a module all blocks of the network and hears what it says to the last one.
fn replay(module: &mut Module, all: &Modules) -> FromModule {
    let (last, before) = all.play.blocks.split_last().unwrap();
    let mut said = None;
    for (block, certificate) in before.iter().chain([last]) {
        module.say(&ToModule::Finalized {
            blocks: vec![block.clone()],
            certificate: certificate.clone(),
        });
        said = Some(loop {
            match module.hear() {
                FromModule::SnapshotPiece { .. } | FromModule::SnapshotDone { .. } => {}
                other => break other,
            }
        });
        if !matches!(said, Some(FromModule::Executed { .. })) {
            break;
        }
    }
    said.unwrap()
}

#[test]
fn a10_a_removed_node_asks_for_the_new_key_epoch() {
    let mut all = Modules::new(founded());
    let name = "node-3".to_owned();
    all.decide(&Change::RemoveValidator { name });
    all.end_epoch();
    assert_eq!(all.key_epoch(), 1);
    all.modules[3] = None;
    let boundary = all.play.engine.height();
    all.step(&[]);
    // Those who stay are given the new root, and open what comes.
    let mut staying = Module::of_seat(&all.play.network, 1);
    staying.begin(&all.play.network);
    assert!(matches!(
        replay(&mut staying, &all),
        FromModule::Executed { height, .. } if height == boundary + 1
    ));
    // The removed one follows the whole ledger up to the last block of its key epoch.
    let mut removed = Module::of_seat(&all.play.network, 3);
    removed.begin(&all.play.network);
    let FromModule::Refused { reason } = replay(&mut removed, &all) else {
        panic!("the removed module opens the new key epoch")
    };
    assert!(reason.contains("not given to this holder"), "{reason}");
    // Nor do the parts of the others help it, nor a snapshot of the new key epoch.
    for _ in 0..8 {
        all.step(&[]);
    }
    let snapshot = all.play.snapshots.last().unwrap().clone();
    assert_eq!(snapshot.manifest.height, boundary);
    assert_eq!(snapshot.manifest.key_epoch, 1);
    let grants: Vec<_> = (0..4).flat_map(|seat| all.grants_of(seat)).collect();
    assert_eq!(grants.len(), 3);
    let roots = RootFile::of(grants).encode();
    for (seat, begins) in [(3, false), (1, true)] {
        let mut module = Module::of_seat(&all.play.network, seat);
        module.say(&ToModule::Start {
            genesis: all.play.network.genesis.encode(),
            offer: Some(all.play.offer(&snapshot)),
            roots: roots.clone(),
        });
        for sealed in &snapshot.pieces {
            module.say(&ToModule::SnapshotPiece {
                sealed: sealed.clone(),
            });
        }
        let said = module.hear();
        assert_eq!(
            matches!(said, FromModule::Started { .. }),
            begins,
            "seat {seat}: {said:?}"
        );
    }
}

/// What a recovering process says to contributions.
fn recovered(
    key: &[u8],
    record: &KeyRecord,
    contributions: &[Vec<u8>],
) -> Result<RootFile, String> {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("module.key");
    fs::write(&path, key).unwrap();
    let (mut recover, mut socket) = command(&["recover", path.to_str().unwrap()]);
    let mut process = recover.spawn().unwrap();
    drop(recover);
    let ready: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    assert!(matches!(ready, FromModule::Ready { .. }));
    let ask = ToModule::Recover {
        record: record.encode(),
        contributions: contributions.to_vec(),
    };
    frame::write(&mut socket, &ask, MODULE_FRAME_MAX).unwrap();
    let said: FromModule = frame::read(&mut socket, MODULE_FRAME_MAX).unwrap();
    ended(&mut process);
    match said {
        FromModule::Recovered { root_file } => Ok(RootFile::decode(&root_file).unwrap()),
        FromModule::Refused { reason } => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a11_a_bogus_recovery_share() {
    let (all, holders) = with_shares();
    let network = &all.play.network;
    let record = &network.record;
    let (fresh, public) = ModuleKey::generate();
    let modules = [public.clone()];
    let give = |holder: usize, record: &KeyRecord| {
        contribute(&holders[holder], record, &public, &modules).unwrap()
    };
    // The second holder seals a share of another root to itself and contributes that.
    let recipients = first_recipients(&network.genesis);
    let forged = make_record(&Secret32::new([8; 32]), network.id, &recipients).unwrap();
    let (first, bogus, third) = (give(0, record), give(1, &forged), give(2, record));
    for contributions in [
        vec![first.clone(), bogus.clone()],
        vec![first.clone(), bogus.clone(), third.clone()],
    ] {
        let reason = recovered(&fresh, record, &contributions).unwrap_err();
        assert_eq!(reason, "bogus shares, by their numbers: 2");
    }
    let reason = recovered(&fresh, record, std::slice::from_ref(&first)).unwrap_err();
    assert_eq!(reason, "1 different shares of 2 that are needed");
    let reason = recovered(&fresh, record, &[first.clone(), first.clone()]).unwrap_err();
    assert_eq!(reason, "1 different shares of 2 that are needed");
    // Neither is a damaged one taken, nor one that was meant for another module.
    let mut damaged = third.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(recovered(&fresh, record, &[first.clone(), damaged]).is_err());
    let (stranger, _) = ModuleKey::generate();
    assert!(recovered(&stranger, record, &[first.clone(), third.clone()]).is_err());
    let file = recovered(&fresh, record, &[first, third]).unwrap();
    assert_eq!(file.grants().len(), 1);
}
