-- SPDX-License-Identifier: Apache-2.0
-- The other half of the model test's events, with the seed's opposite, in a database of its own.
\set half 2
\ir 14_model.sql
