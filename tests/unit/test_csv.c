/* SPDX-License-Identifier: Apache-2.0 */
#include "csv.h"

#include <criterion/criterion.h>
#include <string.h>

enum { NET, CUSTOMER, NOTE };
static const PstCsvColumn columns[] = {
    {"net", TRUE}, {"customer", TRUE}, {"note", FALSE}, {NULL, FALSE}};

static PstCsv *opened(const char *text)
{
    g_autoptr(GError) error = NULL;
    PstCsv *csv = pst_csv_open("c.csv", text, strlen(text), columns, &error);
    cr_assert_not_null(csv, "%s", error != NULL ? error->message : "");
    return csv;
}

static void expect_next(PstCsv *csv, const char *net, const char *customer, const char *note)
{
    g_autoptr(GError) error = NULL;
    cr_assert_eq(pst_csv_next(csv, &error), PST_CSV_RECORD, "%s",
                 error != NULL ? error->message : "end");
    cr_assert_str_eq(pst_csv_field(csv, NET), net);
    cr_assert_str_eq(pst_csv_field(csv, CUSTOMER), customer);
    cr_assert_str_eq(pst_csv_field(csv, NOTE), note);
}

static void expect_error(GError *error, const char *start)
{
    cr_assert_not_null(error);
    cr_assert_eq(error->code, PST_ERROR_DATA);
    cr_assert(g_str_has_prefix(error->message, start), "%s", error->message);
    g_error_free(error);
}

static void expect_bad_header(const char *text, const char *message)
{
    GError *error = NULL;
    cr_assert_null(pst_csv_open("c.csv", text, strlen(text), columns, &error));
    expect_error(error, message);
}

static void expect_bad_record(const char *text, const char *message)
{
    g_autofree char *file = g_strconcat("net,customer,note\n", text, NULL);
    g_autoptr(PstCsv) csv = opened(file);
    GError *error = NULL;
    PstCsvItem item;
    do
        item = pst_csv_next(csv, &error);
    while (item == PST_CSV_RECORD);
    cr_assert_eq(item, PST_CSV_ERROR);
    expect_error(error, message);
}

Test(csv, reads_records_by_column_name_in_any_order)
{
    g_autoptr(PstCsv) csv = opened("customer,NET\nc1,192.0.2.0/24\nc2,2001:db8::/32");
    expect_next(csv, "192.0.2.0/24", "c1", "");
    expect_next(csv, "2001:db8::/32", "c2", "");
    cr_assert_eq(pst_csv_next(csv, NULL), PST_CSV_END);
    cr_assert_eq(pst_csv_next(csv, NULL), PST_CSV_END);
}

Test(csv, reads_quotes_commas_and_line_ends)
{
    g_autoptr(PstCsv) csv =
        opened("net,customer,note\r\n a , \"b, \"\"c\"\"\",\"one\ntwo\"\r\nd,e,f\r\n");
    expect_next(csv, "a", "b, \"c\"", "one\ntwo");
    cr_assert_eq(pst_csv_line(csv), 2);
    expect_next(csv, "d", "e", "f");
    cr_assert_eq(pst_csv_line(csv), 4);
}

Test(csv, skips_byte_order_mark_comments_and_empty_lines)
{
    g_autoptr(PstCsv) csv = opened("\xef\xbb\xbf# from billing\n\nnet,customer\n\n# more\na,b\n\n");
    expect_next(csv, "a", "b", "");
    cr_assert_eq(pst_csv_line(csv), 6);
    cr_assert_eq(pst_csv_next(csv, NULL), PST_CSV_END);
}

Test(csv, keeps_empty_fields)
{
    g_autoptr(PstCsv) csv = opened("net,customer,note\n,,\n\"\",b,\n");
    expect_next(csv, "", "", "");
    expect_next(csv, "", "b", "");
}

Test(csv, refuses_a_bad_header_and_says_what_is_allowed)
{
    expect_bad_header("", "c.csv:1: the file is empty");
    expect_bad_header("# only this", "c.csv:1: the file is empty");
    expect_bad_header("net,customer,colour\n",
                      "c.csv:1: unknown column \"colour\"; the columns are net, customer, note");
    expect_bad_header("net,net,customer\n", "c.csv:1: column \"net\" stands twice");
    expect_bad_header("\nnet\n", "c.csv:2: column \"customer\" is missing");
}

Test(csv, names_the_line_of_a_bad_record)
{
    expect_bad_record("a,b,c\na,b\n", "c.csv:3: 2 fields, the header has 3");
    expect_bad_record("a,b,c,d\n", "c.csv:2: 4 fields");
    expect_bad_record("a,b,c\n\na,\"b\nc", "c.csv:4: a quote opens here and never closes");
    expect_bad_record("a,\"b\"x,c\n", "c.csv:2: text after a closing quote");
    expect_bad_record("a,b\"c,d\n", "c.csv:2: a quote in the middle");
    expect_bad_record("a,\xff,c\n", "c.csv:2: not UTF-8 text");
    expect_bad_record("a,\x1b[2J,c\n", "c.csv:2: a control character (U+001B)");
    expect_bad_record("a,b\rc,d\n", "c.csv:2: ");
}

Test(csv, refuses_a_nul_byte)
{
    static const char data[] = "net,customer\na\0b,c\n";
    g_autoptr(PstCsv) csv = pst_csv_open("c.csv", data, sizeof data - 1, columns, NULL);
    GError *error = NULL;
    cr_assert_eq(pst_csv_next(csv, &error), PST_CSV_ERROR);
    expect_error(error, "c.csv:2: not UTF-8 text");
}

Test(csv, bounds_fields_and_columns)
{
    g_autofree char *fits = g_strnfill(PST_CSV_FIELD_MAX, 'x');
    g_autofree char *good = g_strdup_printf("net,customer\n%s,\"%s\"\n", fits, fits);
    g_autoptr(PstCsv) csv = opened(good);
    expect_next(csv, fits, fits, "");
    g_autofree char *plain = g_strdup_printf("%sx,b,c\n", fits);
    expect_bad_record(plain, "c.csv:2: a field longer than 64 KiB");
    g_autofree char *quoted = g_strdup_printf("\"%sxy\",b,c\n", fits);
    expect_bad_record(quoted, "c.csv:2: a field longer than 64 KiB");
    g_autofree char *commas = g_strnfill(PST_CSV_COLUMNS_MAX, ',');
    expect_bad_record(commas, "c.csv:2: more than 64 columns");
}
