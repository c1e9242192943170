import {
  Button,
  createTheme,
  Input,
  InputWrapper,
  type MantineColorsTuple,
  Modal,
  Radio,
  Table,
  Tooltip,
  virtualColor,
} from '@mantine/core'
import classes from './theme.module.css'

/** A neutral scale without a tint: colour is left to what carries meaning. */
const gray: MantineColorsTuple = [
  '#fafafa',
  '#f4f4f5',
  '#e6e6e9',
  '#dcdce0',
  '#c9c9d0',
  '#8b8b96',
  '#5f5f69',
  '#3f3f46',
  '#27272a',
  '#18181b',
]

/** Mantine reads text, borders and surfaces of the dark scheme from this scale, from light to dark. */
const dark: MantineColorsTuple = [
  '#ececef',
  '#c8c8ce',
  '#9c9ca6',
  '#70707b',
  '#303036',
  '#26262b',
  '#1c1c21',
  '#16161a',
  '#101013',
  '#0b0b0d',
]

/** What one presses: near black on light, near white on dark. Shades 6 and 7 are the filled ones. */
const inkOnLight: MantineColorsTuple = [
  '#f4f4f5',
  '#e6e6e9',
  '#d4d4d8',
  '#a1a1aa',
  '#71717a',
  '#3f3f46',
  '#18181b',
  '#2f2f35',
  '#18181b',
  '#18181b',
]
const inkOnDark: MantineColorsTuple = [
  '#fafafa',
  '#f4f4f5',
  '#ececef',
  '#ececef',
  '#ececef',
  '#ececef',
  '#ececef',
  '#ececef',
  '#cfcfd6',
  '#a1a1aa',
]

export const theme = createTheme({
  colors: {
    gray,
    dark,
    inkOnLight,
    inkOnDark,
    ink: virtualColor({ name: 'ink', light: 'inkOnLight', dark: 'inkOnDark' }),
  },
  primaryColor: 'ink',
  primaryShade: { light: 6, dark: 7 },
  autoContrast: true,
  black: '#18181b',
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'Inter, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  lineHeights: { xs: '1.4', sm: '1.45', md: '1.5' },
  radius: { sm: '4px', md: '6px', lg: '8px' },
  components: {
    Button: Button.extend({
      vars: () => ({ root: { '--button-height': '2rem', '--button-padding-x': '0.75rem' } }),
    }),
    Input: Input.extend({ vars: () => ({ wrapper: { '--input-height': '2rem' } }) }),
    InputWrapper: InputWrapper.extend({ styles: { label: { marginBottom: '0.25rem' } } }),
    Modal: Modal.extend({
      classNames: {
        content: classes.dialog ?? '',
        header: classes.dialogHeader ?? '',
        title: classes.dialogTitle ?? '',
      },
      defaultProps: { centered: true, radius: 'lg', overlayProps: { backgroundOpacity: 0.45 } },
    }),
    Radio: Radio.extend({
      classNames: {
        body: classes.radioBody ?? '',
        labelWrapper: classes.radioLabel ?? '',
        description: classes.radioDescription ?? '',
      },
      defaultProps: { iconColor: 'var(--mantine-primary-color-contrast)' },
      vars: () => ({ root: { '--radio-size': '1rem', '--radio-icon-size': '0.375rem' } }),
    }),
    Table: Table.extend({
      classNames: { table: classes.table ?? '', th: classes.columnName ?? '' },
      defaultProps: { verticalSpacing: '0.4375rem', horizontalSpacing: '1rem' },
    }),
    Tooltip: Tooltip.extend({
      defaultProps: { openDelay: 200, events: { hover: true, focus: true, touch: true } },
    }),
  },
})
