# SPDX-License-Identifier: Apache-2.0
"""The benchmark: a view beside everything else that could be done in its place, in one run.

`isolation` keeps it off the machine, `material` makes what is measured, `contenders` are who takes
part, `measure` has a module for each measurement, `report` and `bars` say what came of it.
"""
