"""Jobs in this process: without a process's seconds for importing torch, and without Ray's start and the rendering."""

import contextlib
import io
import runpy
import sys
import urllib.request

import pytest
from figures import unsaved
from in_process import without_ray
from processes import ROOT


def run_here(job, *arguments, ray=False, rendered=False, **environment):
    """Run a job to its end: (exit status, standard output, standard error).

    One worker in this process does all tasks, in their order; with `ray` the job starts or joins a cluster as ever.
    The curves and pictures of a report are made, and their files are empty; with `rendered` they are files as ever.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if not ray:
            without_ray(patch)
        if not rendered:
            unsaved(patch)
        patch.setattr(sys, "argv", [f"{job}.py", *map(str, arguments)])
        patch.chdir(ROOT)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(urllib.request, "_opener", None)  # urlopen's keeps the proxies of when it was first called
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            runpy.run_path(f"jobs/{job}.py", run_name="__main__")
    return ended.value.code, out.getvalue(), err.getvalue()
