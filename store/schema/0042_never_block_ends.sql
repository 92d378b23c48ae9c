-- SPDX-License-Identifier: Apache-2.0
-- What is never blocked can be taken off the list again: a slip of the pen is no law.

SET LOCAL ROLE postern_owner;

CREATE FUNCTION postern.never_block_remove(p_net cidr, p_reason text, p_actor text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, postern, pg_temp
AS $$
BEGIN
    PERFORM postern.need_reason(p_reason, 'the end of never-block');
    DELETE FROM postern.never_block WHERE net = p_net;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM postern.audit(p_actor, 'never-block-end', NULL, jsonb_build_object('net', p_net, 'reason', btrim(p_reason)));
    PERFORM pg_notify('postern_work', 'enforce');
    RETURN true;
END
$$;
COMMENT ON FUNCTION postern.never_block_remove(cidr, text, text) IS 'Takes exactly this net from the list: its addresses are warned and blocked like others. false: it does not stand there';
GRANT EXECUTE ON FUNCTION postern.never_block_remove(cidr, text, text) TO postern_officer;

RESET ROLE;
