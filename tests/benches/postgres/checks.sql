-- The functions do what they say and refuse what they must, or nothing is measured. All of it is undone.
begin;
create function refused(command text) returns boolean language plpgsql as $$
begin
  execute command;
  return false;
exception when others then
  return true;
end $$;
create function held(issue int, account int) returns bigint language sql as $$
  select qty from position where issue_id = issue and account_id = account
$$;

do $$
declare
  trade bigint; trades bigint[]; seen bigint;
begin
  -- Accounts 11, 21 and 31 hold issue 11 from the beginning, 12, 13 and 14 do not.
  perform settle(11, 11, 12, 5, 7);
  assert held(11, 12) = 5, 'a first position';
  assert refused('select settle(11, 12, 21, 6, 7)'), 'more units than are held';
  assert refused('select settle(11, 13, 21, 1, 7)'), 'units of an issue that is not held';
  assert refused('select settle(11, 21, 11, 1, 5000000000)'), 'more money than there is';
  assert refused('select settle(11, 11, 0, 1, 7)'), 'no such account';
  assert refused('select settle(11, 11, 11, 1, 7)'), 'to itself';

  assert settle_batch('{11,11,11,11,11}', '{12,12,11,13,21}', '{21,21,13,21,11}', '{5,1,4,3,1}', '{7,7,7,7,5000000000}')
    = '{t,f,t,t,f}', 'an outcome for each, in turn';
  assert held(11, 12) = 0 and held(11, 13) = 1, 'what they leave';

  assert settle_set('{11,11}', '{11,14}', '{14,31}', '{3,1}', '{7,7}') = 2 and held(11, 14) = 2, 'a set';
  assert refused('select settle_set(''{11}'', ''{14}'', ''{31}'', ''{3}'', ''{7}'')'), 'more than is held, in a set';
  assert refused('select settle_set(''{11}'', ''{22}'', ''{31}'', ''{3}'', ''{7}'')'), 'what is not held, in a set';
  assert refused('select settle_set(''{11}'', ''{11}'', ''{0}'', ''{3}'', ''{7}'')'), 'no such account, in a set';

  trade := record_trade(11, 11, 12, 5, 7);
  perform confirm_trade(trade);
  assert held(11, 12) = 5, 'a trade in two steps';
  assert refused(format('select confirm_trade(%s)', trade)), 'a second confirmation';
  trades := record_batch('{11,11}', '{11,12}', '{12,11}', '{2,1}', '{7,7}');
  assert confirm_batch(trades) = 2 and held(11, 12) = 6, 'trades in two steps';
  assert refused(format('select confirm_batch(%L)', trades)), 'a second confirmation of many';

  -- Account 6 is a client of broker 7.
  perform set_config('app.broker', '7', true);
  set local role by_account;
  seen := (select count(*) from position);
  assert seen > 0 and seen = (select count(*) from position where account_id % 50 = 6), 'what a broker sees';
  set local role by_row;
  assert seen = (select count(*) from position), 'what it sees by the other policy';
  reset role;
  assert seen < (select count(*) from position), 'what there is besides';
end $$;
rollback;
