-- migrate:up

-- upgrade: contract
-- What it drops it made itself, for as long as it runs.

-- The API stores texts in one normal form from now on (service/api/validation/texts.py): composed (NFC), without white space or
-- stray characters around them, and a gateway_id without invisible ones. Rows from before are brought into it. A live
-- gateway stays as it is where another one has, or would get, the same gateway_id: which of them is the device only
-- people can tell.
CREATE FUNCTION pg_temp.normal_text(given text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN regexp_replace(
    normalize(given, NFC),
    '^[\u0001-\u0020\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff]+'
    '|[\u0001-\u0020\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff]+$',
    '', 'g'
);

CREATE FUNCTION pg_temp.normal_identifier(given text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN pg_temp.normal_text(
    regexp_replace(
        regexp_replace(
            pg_temp.normal_text(given),
            '[\u0001-\u001f\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]', ' ', 'g'
        ),
        '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164'
        '\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]',
        '', 'g'
    )
);

-- A text that nothing would be left of stays; one that would become too long does, too.
CREATE FUNCTION pg_temp.normal_if_it_fits(given text, most integer) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN char_length(pg_temp.normal_text(given)) BETWEEN 1 AND most THEN pg_temp.normal_text(given)
    ELSE given
END;

DO $$
BEGIN
    -- Texts of other encodings have no normal form.
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RETURN;
    END IF;

    UPDATE factories
    SET name = pg_temp.normal_if_it_fits(name, 200), location = pg_temp.normal_if_it_fits(location, 500)
    WHERE (name, location)
        IS DISTINCT FROM (pg_temp.normal_if_it_fits(name, 200), pg_temp.normal_if_it_fits(location, 500));

    UPDATE gateways
    SET name = pg_temp.normal_if_it_fits(name, 200),
        model = pg_temp.normal_if_it_fits(model, 100),
        firmware_version = pg_temp.normal_if_it_fits(firmware_version, 100)
    WHERE (name, model, firmware_version) IS DISTINCT FROM (
        pg_temp.normal_if_it_fits(name, 200),
        pg_temp.normal_if_it_fits(model, 100),
        pg_temp.normal_if_it_fits(firmware_version, 100)
    );

    WITH forms AS (
        SELECT
            id, deleted_at, pg_temp.normal_identifier(gateway_id) AS form,
            count(*) FILTER (WHERE deleted_at IS NULL)
                OVER (PARTITION BY pg_temp.normal_identifier(gateway_id)) AS live
        FROM gateways
    )
    UPDATE gateways AS g
    SET gateway_id = f.form
    FROM forms AS f
    WHERE f.id = g.id AND f.form <> g.gateway_id AND char_length(f.form) BETWEEN 1 AND 100
        AND (f.deleted_at IS NOT NULL OR f.live = 1);
END;
$$;

DROP FUNCTION pg_temp.normal_if_it_fits(text, integer);
DROP FUNCTION pg_temp.normal_identifier(text);
DROP FUNCTION pg_temp.normal_text(text);

-- migrate:down

-- How texts were written before is not kept: this form is as good to older versions.
SELECT 1;
