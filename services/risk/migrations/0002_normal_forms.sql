-- Values of the blocklist stand in their normal form (shared/contracts/texts.py) from now on, whatever their kind. SQL
-- comes close to it: a value whose form it misses is still listed and taken off as it is written.
create temporary table renamed on commit drop as
select distinct on (kind, form) kind, form, treatment, reason, until, changed_at, changed_by
from (
    select *, btrim(regexp_replace(lower(normalize(regexp_replace(
        value,
        -- controls, format characters, fillers, variation selectors: drawn as nothing
        '[\u0001-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u08e2'
        '\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff'
        '\uffa0\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef]',
        '', 'g'), nfkc)),
        '[\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g')) as form
    from blocklist
) as formed
where form <> '' and char_length(form) <= 500
-- Of several that are one now, the strongest that still counts stays.
order by kind, form, (until is null or until > now()) desc, array_position('{refuse,refer,restrict}', treatment),
    until desc nulls first, changed_at desc;

-- What showed nothing, or cannot be a value now, was never found by an order: it goes.
delete from blocklist;
insert into blocklist (kind, value, treatment, reason, until, changed_at, changed_by)
select kind, form, treatment, reason, until, changed_at, changed_by from renamed;
