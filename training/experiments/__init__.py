r"""The tables of the G2D paper (arXiv 2312.01522), one command each.

configs/tables.yaml -> config   recipes, data sets, rows and columns, checked
published                       the paper's figures
config -> plan                  a table -> cells: a fine-tuning each, or a zero-shot answer
          plan -> run           what is missing: pre-train, fine-tune, `measure`
              \-> folder        each cell in a folder of its own
                    \-> render  ours beside the paper's, Markdown and CSV
"""
