/* SPDX-License-Identifier: Apache-2.0 */
/* Subcommands that other programs of ours do: replay, backtest, report. What follows the name is
 * handed on as it stands, --help too. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "process.h"

/* Becomes the program; returns only when it cannot be started. */
static int become(const char *program, char **arguments)
{
    g_autofree char *path = pst_program_path(program);
    g_autofree char **argv = g_new0(char *, g_strv_length(arguments) + 2);
    argv[0] = path;
    for (gsize i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    execvp(path, argv);
    fprintf(stderr, "postern: cannot start %s: %s\n", path, g_strerror(errno));
    return PST_EXIT_FAILED;
}

int cmd_replay(int argc, char **argv)
{
    return become("postern-replay", argv + 1);
}

int cmd_report(int argc, char **argv)
{
    return become("postern-report", argv + 1);
}

/* ---- backtest ---- */

static const char help[] =
    "Usage:\n"
    "  postern backtest --networks FILE|CIDR,… [--format text|json] [--compare CONF] [--svg FILE]\n"
    "                   [--packets no|yes|auto] [--packets-sampled N] [--sampled N] FILE…\n"
    "\n"
    "What the detector would have said about recorded flows. Nothing is stored, nobody is told.\n"
    "FILEs in the order of their time, - is the standard input, each of them one of\n"
    "  flows         as postern-collector --output json:- prints them, our protobuf; goflow2's\n"
    "                JSON and protobuf\n"
    "  captures      (pcap, pcapng) of flow exports, or of the traffic itself: a line says as "
    "which\n"
    "                one was read\n"
    "  IPFIX files\n"
    "and each of these may be packed by gzip, zstd, xz or bzip2. What a file is its first bytes\n"
    "tell, not its name. nfcapd, Argus, Zeek, CSV: docs/operating.md, \"Backtests\".\n"
    "\n"
    "  --networks      our own networks: without them nobody knows which side is a customer\n"
    "  --compare CONF  a second configuration beside the one in force: the same with the keys of\n"
    "                  CONF instead. Tells what only one of them finds.\n"
    "  --svg FILE      draw how often each evidence was reached, beside what is promised\n"
    "  --packets yes   captures are of the traffic itself; no: of flow exports; auto (the "
    "default):\n"
    "                  of traffic, if they hold no export and TCP\n"
    "  --packets-sampled N\n"
    "                  such a capture holds 1 of N packets\n"
    "  --sampled N     flows that tell no sampling rate are of 1 in N packets\n"
    "\n"
    "All options, and the detector's keys for CONF: postern-scorer --help, --show-config.\n"
    "\n"
    "Examples:\n"
    "  postern backtest --networks 192.0.2.0/24 monday.pcap tuesday.pcap.gz\n"
    "  postern backtest --networks nets.txt --format json flows.json | jq .unit\n"
    "\n"
    "Exit status: 0 done, 1 failed (also: a file was not readable to its end), 2 usage.\n";

int cmd_backtest(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, argc < 2 ? stderr : stdout);
        return argc < 2 ? PST_EXIT_USAGE : PST_EXIT_DONE;
    }
    static char flag[] = "--backtest";
    argv[0] = flag;
    return become("postern-scorer", argv);
}
