r"""Experiment tables, one command each: those of the G2D paper (arXiv 2312.01522) and our own.

configs/*.yaml -> config          recipes, data sets, arms, rows and columns, checked
config -> plan                    a table -> cells: a fine-tuning, a probe or a zero-shot answer
          plan -> survey          which cells can be computed, and what is missing
          plan -> run             pre-train, fine-tune and `measure`, or train `probes`
              \-> result_store    each cell in a folder of its own
                    \-> pages     ours beside the paper's, Markdown and CSV
"""
