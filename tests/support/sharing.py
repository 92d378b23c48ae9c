# SPDX-License-Identifier: Apache-2.0
"""How the processes of a run share its tests (pytest-xdist)."""

from pathlib import Path

from xdist.scheduler import LoadScopeScheduling


class OneByOne(LoadScopeScheduling):
    """Gives each process the next test when it is done with one, in the order of collection; a file
    of `together` whole.

    A process begins a test when it knows the one after it, so each has two at a time. A test that
    ends its process has failed and is not tried again here; the others of that process are.
    """

    def __init__(self, config, log, together):
        config.option.loadscopereorder = False    # ours is the order
        super().__init__(config, log)
        self._together = together

    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        return file if Path(file).name in self._together else nodeid

    def _reschedule(self, node):
        if node.shutting_down:
            return
        while self.workqueue and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)
        if not self.workqueue:
            node.shutdown()    # when it is done with what it has

    def remove_node(self, node):
        units = self.assigned_work.pop(node)
        left = [(unit, test) for unit, tests in units.items()
                for test, is_done in tests.items() if not is_done]
        if not left:
            return None
        unit, fatal = left[0]
        units[unit][fatal] = True
        self.workqueue.update({name: tests for name, tests in units.items()
                               if not all(tests.values())})
        for other in self.assigned_work:
            self._reschedule(other)
        return fatal
