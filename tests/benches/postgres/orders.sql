-- Settlements at random, all covered, made in the server, because pgbench cannot make arrays. Each costs about 2 us of CPU,
-- which count as the server's. `numbers` is how many accounts have the same last digit, less one: all of those hold the same
-- issues.
create function random_orders(wanted int, numbers int)
returns table (issue int, seller int, buyer int, qty bigint, amount bigint) language plpgsql as $$
begin
  return query
    select g * 10 + k, s * 10 + g, (1 + (s + more) % numbers) * 10 + g, 1 + (r * 100)::bigint, 100 + (r * 10000)::bigint
    from (
      select floor(random() * 10)::int g, 1 + floor(random() * 10)::int k, 1 + floor(random() * numbers)::int s,
        floor(random() * (numbers - 1))::int more, random() r
      from generate_series(1, wanted)
    ) made;
end $$;
